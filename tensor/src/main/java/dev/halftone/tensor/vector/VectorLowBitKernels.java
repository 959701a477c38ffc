// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.CodePath;
import dev.halftone.tensor.kernels.CodeRate;
import dev.halftone.tensor.kernels.LowBitKernels;
import dev.halftone.tensor.kernels.NormalizedConv;
import dev.halftone.tensor.kernels.PackedConv;
import dev.halftone.tensor.kernels.QuantizedConvWeight;
import dev.halftone.tensor.kernels.ScalarKernels;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorSpecies;

/** Chooses how a quantized convolution runs: in the way that was measured to be the fastest of those that can. */
final class VectorLowBitKernels implements LowBitKernels {
    private static final VectorSpecies<Integer> INTS = VectorSpecies.of(int.class, Panels.SPECIES.vectorShape());
    private final LowBitKernels scalar = new ScalarKernels().lowBit();

    @Override
    public PackedConv prepare(QuantizedConvWeight weight, UniformGrid activation) {
        CodePath path = rates(weight.codes().bits(), activation.bits()).stream()
                .filter(r -> supports(weight, activation, r.path()))
                .max(Comparator.comparingDouble(r -> r.gops() * filled(r.path(), weight.outChannels())))
                .orElseThrow()
                .path();
        return prepare(weight, activation, path);
    }

    @Override
    public PackedConv prepare(QuantizedConvWeight weight, UniformGrid activation, CodePath path) {
        if (!supports(weight, activation, path)) {
            throw new IllegalArgumentException(
                    "no " + path.label() + " for " + weight.codes().bits() + "-bit weights, " + activation.bits()
                            + "-bit activations and " + weight.inChannels() + " input channels");
        }
        return switch (path) {
            case BIT_COUNT -> NormalizedConv.of(new BinaryConv(weight, activation), weight.input());
            case LOOK_UP -> NormalizedConv.of(new TableConv(weight, activation), weight.input());
            case FLOAT -> NormalizedConv.of(new FloatCodeConv(weight, activation), weight.input());
            case SCALAR -> scalar.prepare(weight, activation);
        };
    }

    private static boolean supports(QuantizedConvWeight weight, UniformGrid activation, CodePath path) {
        return switch (path) {
            case BIT_COUNT -> weight.codes().bits() == 1 && activation.bits() == 1;
            case LOOK_UP -> LookupTable.of(weight.codes().bits(), activation.bits()) != null;
            case FLOAT -> FloatCodeConv.supports(weight, activation);
            case SCALAR -> true;
        };
    }

    /** Returns which part of the vectors that a way computes at once is filled with output channels. */
    private static double filled(CodePath path, int outChannels) {
        int block = switch (path) {
            case BIT_COUNT -> BinaryConv.BLOCK;
            case LOOK_UP -> TableConv.BLOCK;
            case FLOAT -> Panels.LANES;
            case SCALAR -> 1;
        };
        return (double) outChannels / (Math.ceilDiv(outChannels, block) * block);
    }

    @Override
    public List<CodeRate> rates(int weightBits, int activationBits) {
        return Stream.concat(
                        CodeRates.of(Panels.SPECIES.vectorBitSize(), weightBits, activationBits).stream(),
                        scalar.rates(weightBits, activationBits).stream())
                .filter(r -> r.path() != CodePath.LOOK_UP || LookupTable.of(weightBits, activationBits) != null)
                .sorted(Comparator.comparingInt(CodeRate::gops).reversed())
                .toList();
    }

    @Override
    public void addProducts(short[] codes, int at, int count, int[] weight, int from, int outputs, int[] sums, int to) {
        int lanes = INTS.length();
        int o = 0;
        for (; o + 4 * lanes <= outputs; o += 4 * lanes) {
            int s = to + o;
            IntVector a = IntVector.fromArray(INTS, sums, s);
            IntVector b = IntVector.fromArray(INTS, sums, s + lanes);
            IntVector c = IntVector.fromArray(INTS, sums, s + 2 * lanes);
            IntVector d = IntVector.fromArray(INTS, sums, s + 3 * lanes);
            for (int i = 0; i < count; i++) {
                int w = from + i * outputs + o;
                IntVector code = IntVector.broadcast(INTS, codes[at + i]);
                a = a.add(IntVector.fromArray(INTS, weight, w).mul(code));
                b = b.add(IntVector.fromArray(INTS, weight, w + lanes).mul(code));
                c = c.add(IntVector.fromArray(INTS, weight, w + 2 * lanes).mul(code));
                d = d.add(IntVector.fromArray(INTS, weight, w + 3 * lanes).mul(code));
            }
            a.intoArray(sums, s);
            b.intoArray(sums, s + lanes);
            c.intoArray(sums, s + 2 * lanes);
            d.intoArray(sums, s + 3 * lanes);
        }
        for (; o < outputs; o += lanes) {
            // The rest of the last vector is no output.
            VectorMask<Integer> there = INTS.indexInRange(o, outputs);
            IntVector a = IntVector.fromArray(INTS, sums, to + o, there);
            for (int i = 0; i < count; i++) {
                a = a.add(IntVector.fromArray(INTS, weight, from + i * outputs + o, there)
                        .mul(codes[at + i]));
            }
            a.intoArray(sums, to + o, there);
        }
    }
}
