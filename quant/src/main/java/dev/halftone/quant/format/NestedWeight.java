// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.format;

import dev.halftone.tensor.PackedCodes;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.io.StoredTensor;
import java.util.ArrayList;
import java.util.List;

/**
 * A weight of any width: codes of 8 bits, of which the first {@code b} are a code of {@code b} bits, and for every width a uniform grid for
 * each output channel. It is opened at one width, and executed as the {@link UniformWeight} of it. Tensors of a file: {@code _codes} (U8),
 * {@code _lower} and {@code _upper} ({@code [8, out]}, the row {@code b - 1} for {@code b} bits).
 *
 * @param shape of the weight
 * @param codes of 8 bits, in the order of the weight
 * @param lower {@code [8, out]}
 * @param upper the same shape
 * @param bits that it is opened at
 */
public record NestedWeight(Shape shape, PackedCodes codes, Tensor lower, Tensor upper, int bits)
        implements WeightFormat {
    /** The widths that there are, from 1. */
    public static final int WIDTHS = 8;

    /** Checks that everything fits, and that there is a grid for every width and output. */
    public NestedWeight {
        Shape grids = Shape.of(WIDTHS, shape.dim(-1));
        if (bits < 1 || bits > WIDTHS) {
            throw new IllegalArgumentException("weights of 1 to " + WIDTHS + " bits cannot be opened at " + bits);
        }
        if (codes.bits() != WIDTHS || codes.size() != shape.size()) {
            throw new IllegalArgumentException(codes + " for a weight " + shape + " of any width");
        }
        if (!lower.shape().equals(grids) || !upper.shape().equals(grids)) {
            throw new IllegalArgumentException(
                    "grids " + lower.shape() + " and " + upper.shape() + " instead of " + grids);
        }
        for (int width = 1; width <= WIDTHS; width++) {
            quantizer(lower, upper, width);
        }
    }

    private static UniformQuantizer quantizer(Tensor lower, Tensor upper, int width) {
        List<UniformGrid> grids = new ArrayList<>();
        for (int o = 0; o < lower.dim(1); o++) {
            grids.add(new UniformGrid(width, lower.get(width - 1, o), upper.get(width - 1, o)));
        }
        return new UniformQuantizer(grids);
    }

    /**
     * Returns a weight rounded to a grid of 8 bits for each output. Of every width the grid is the line of least squared error through
     * weights over codes; of 8 bits this makes up for what the rounding has clipped.
     *
     * @param bits that it is opened at
     */
    public static NestedWeight of(Tensor weight, UniformQuantizer master, int bits) {
        int out = weight.dim(-1);
        byte[] codes = master.codes(weight).unpack();
        Tensor lower = Tensor.zeros(WIDTHS, out);
        Tensor upper = Tensor.zeros(WIDTHS, out);
        for (int width = 1; width <= WIDTHS; width++) {
            double[][] lines = lines(weight, codes, master, width);
            int last = (1 << width) - 1;
            for (int o = 0; o < out; o++) {
                lower.set((float) lines[o][0], width - 1, o);
                upper.set((float) (lines[o][0] + last * lines[o][1]), width - 1, o);
            }
        }
        return new NestedWeight(weight.shape(), PackedCodes.pack(codes, WIDTHS), lower, upper, bits);
    }

    /** Returns the level of code 0 and the step of each output. */
    private static double[][] lines(Tensor weight, byte[] codes, UniformQuantizer master, int width) {
        int out = weight.dim(-1);
        double n = (double) weight.size() / out;
        double[][] sums = new double[out][4];
        for (int i = 0; i < codes.length; i++) {
            double q = code(codes[i] & 0xff, width);
            double w = weight.array()[weight.offset() + i];
            double[] sum = sums[i % out];
            sum[0] += q / n;
            sum[1] += w / n;
            sum[2] += q * q / n;
            sum[3] += q * w / n;
        }
        double[][] lines = new double[out][];
        for (int o = 0; o < out; o++) {
            double variance = sums[o][2] - sums[o][0] * sums[o][0];
            double covariance = sums[o][3] - sums[o][0] * sums[o][1];
            // Where all have one code any step would do.
            double step = variance > 1e-9 && covariance > 0
                    ? covariance / variance
                    : cut(master.grid(o), width).scale();
            lines[o] = new double[] {sums[o][1] - step * sums[o][0], step};
        }
        return lines;
    }

    /** Returns the first bits of a code of 8. */
    static int code(int master, int width) {
        return master >> (WIDTHS - width);
    }

    /** Returns the grid whose levels are in the middle of the 8-bit levels that share their first bits. */
    static UniformGrid cut(UniformGrid master, int width) {
        double step = (double) master.scale() * (1 << (WIDTHS - width));
        double first = master.lower() + (step - master.scale()) / 2;
        return new UniformGrid(width, (float) first, (float) (first + step * ((1 << width) - 1)));
    }

    /** Returns the weight at the width that it is opened at. */
    @Override
    public UniformWeight executable() {
        byte[] own = codes.unpack();
        for (int i = 0; i < own.length; i++) {
            own[i] = (byte) code(own[i] & 0xff, bits);
        }
        return new UniformWeight(shape, PackedCodes.pack(own, bits), quantizer(lower, upper, bits));
    }

    @Override
    public String tag() {
        return "nested" + bits;
    }

    @Override
    public Tensor dequantize() {
        return executable().dequantize();
    }

    @Override
    public List<StoredTensor> tensors(String name) {
        byte[] bytes = codes.toByteArray();
        return List.of(
                StoredTensor.bytes(name + "_codes", new int[] {bytes.length}, bytes),
                StoredTensor.of(name + "_lower", lower),
                StoredTensor.of(name + "_upper", upper));
    }

    /** Reads what {@link #tensors} gave. */
    static NestedWeight read(StoredParts parts, Shape shape, int bits) {
        Shape grids = Shape.of(WIDTHS, shape.dim(-1));
        return new NestedWeight(
                shape,
                parts.codes("_codes", WIDTHS, shape.size()),
                parts.floats("_lower", grids),
                parts.floats("_upper", grids),
                bits);
    }
}
