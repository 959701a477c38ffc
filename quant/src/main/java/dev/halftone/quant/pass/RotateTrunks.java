// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.nn.Child;
import dev.halftone.nn.Conv2d;
import dev.halftone.nn.Parameter;
import dev.halftone.nn.Site;
import dev.halftone.nn.Trunk;
import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.matrix.Hadamard;
import dev.halftone.quant.matrix.Matrix;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.util.SplittableRandom;

/**
 * Rotates the channels of every residual stream by a Hadamard matrix with random signs, so that what one channel alone had is spread over
 * all (QuaRot, Ashkboos et al. 2024, for transformers). The rotation {@code x R}, {@code R = D H / sqrt(n)}, is folded into the
 * weights: {@code W R} and {@code b R} for a layer that writes the stream, {@code R^T W} for every tap of one that reads it. It
 * commutes with sums, residual scales and padding by zeros, so the fp32 network computes what it did, and a quantized one costs the same.
 * Inputs behind a ReLU are not rotated. Blocks of the rotated network cannot be compared with the teacher's.
 *
 * @param seed of the signs
 */
public record RotateTrunks(long seed) implements Pass {
    @Override
    public String id() {
        return "rotate(hadamard)";
    }

    @Override
    public void apply(Quantization run) {
        requireTrunks(run);
        for (Trunk trunk : run.network().trunks()) {
            int channels = conv(trunk.writers().getFirst()).weight().value().dim(-1);
            fold(run, trunk, rotation(channels, seed));
        }
    }

    /** Refuses networks without residual streams. */
    static void requireTrunks(Quantization run) {
        if (run.network().trunks().isEmpty()) {
            throw new IllegalArgumentException(
                    "a Hadamard rotation cannot be folded into this network: norms stand in its residual stream");
        }
    }

    /** Rotates a stream: its channels {@code x} become {@code x R}. */
    static void fold(Quantization run, Trunk trunk, Matrix rotation) {
        for (Child writer : trunk.writers()) {
            Conv2d conv = conv(writer);
            // Rows of taps and input channels, columns of output channels.
            Matrix.of(conv.weight().value())
                    .times(rotation)
                    .copyTo(conv.weight().value());
            Parameter bias = conv.bias();
            if (bias != null) {
                Matrix.of(bias.value()).times(rotation).copyTo(bias.value());
            }
            run.network().sites().stream()
                    .filter(site -> site.slot() == writer)
                    .map(Site::name)
                    .forEach(name -> run.restoreOutputs(name, y -> turnedBack(y, rotation)));
        }
        trunk.readers().forEach(reader -> rotateInputs(conv(reader).weight().value(), rotation));
    }

    private static Conv2d conv(Child slot) {
        if (slot.module() instanceof Conv2d conv && conv.groups() == 1) {
            return conv;
        }
        throw new IllegalArgumentException("only convolutions as they are in fp32 can be rotated, not "
                + slot.module().getClass().getSimpleName());
    }

    /** Returns {@code D H / sqrt(n)}. */
    static Matrix rotation(int n, long seed) {
        Matrix h = Hadamard.of(n);
        SplittableRandom random = new SplittableRandom(seed);
        for (int i = 0; i < n; i++) {
            double sign = random.nextBoolean() ? 1 : -1;
            for (int j = 0; j < n; j++) {
                h.set(i, j, h.get(i, j) * sign / Math.sqrt(n));
            }
        }
        return h;
    }

    /** Multiplies every tap {@code [in, out]} of a weight by the transpose. */
    private static void rotateInputs(Tensor weight, Matrix rotation) {
        int in = weight.dim(-2);
        int out = weight.dim(-1);
        Matrix transposed = rotation.transposed();
        for (int at = weight.offset(); at < weight.offset() + weight.size(); at += in * out) {
            Tensor tap = Tensor.wrap(weight.array(), at, Shape.of(in, out));
            transposed.times(Matrix.of(tap)).copyTo(tap);
        }
    }

    private static Tensor turnedBack(Tensor y, Matrix rotation) {
        Tensor rows = y.reshape(y.size() / rotation.rows(), rotation.rows());
        return rotation.times(Matrix.of(rows).transposed())
                .transposed()
                .toTensor()
                .reshape(y.shape().dims());
    }
}
