// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import org.jspecify.annotations.Nullable;

/**
 * A convolution in integers alone: codes in, sums of 32 bits, a bias of 32 bits, and codes out by a {@link Dyadic} factor for each output
 * channel; or, where fp32 follows, the sums times their scale. Stride 1, zero padding {@code kernel / 2}, one group. Immutable.
 *
 * <p>Codes are counted from that of the value 0, {@code q - zero}, so that a tap outside the image adds nothing, and
 *
 * <pre>{@code
 * sum = SUM (qx - zx) (qw - zw) + rint(bias / (sx sw))      exact, 32 bits
 * out = clamp(dyadic(sx sw / sy) sum, -zy, last - zy)       the code of the output, from zy on
 * }</pre>
 *
 * <p>Every grid must have a level at 0; that of a weight may also have it halfway between two (one bit: -1 and 1), and then counts
 * in half steps. Products are of 32 bits whatever the codes have: it is here for its arithmetic, {@link PackedConv} for speed.
 */
public final class IntegerConv {
    private final int kernel;
    private final int in;
    private final int out;
    private final int[] weight;

    private final int[] bias;
    private final float[] scale;
    private final UniformGrid input;
    private final int inputZero;
    private final @Nullable UniformGrid output;
    private final int outputZero;
    private final Dyadic[] factors;

    /**
     * Prepares a convolution.
     *
     * @param input the grid of the input
     * @param output the grid of the output, or null if fp32 follows
     * @throws IllegalArgumentException if 0 is no level of a grid, or sums could exceed 32 bits
     */
    public IntegerConv(QuantizedConvWeight weight, UniformGrid input, @Nullable UniformGrid output) {
        if (weight.input() != null) {
            throw new IllegalArgumentException("channels that are normalised in fp32 do not run in integers alone");
        }
        kernel = weight.kernel();
        in = weight.inChannels();
        out = weight.outChannels();
        this.input = input;
        this.output = output;
        inputZero = zero(input);
        outputZero = output == null ? 0 : zero(output);
        this.weight = new int[kernel * kernel * in * out];
        bias = new int[out];
        scale = new float[out];
        factors = new Dyadic[output == null ? 0 : out];
        byte[] codes = weight.codes().unpack();
        Tensor b = weight.bias();
        for (int c = 0; c < out; c++) {
            double twice = -2.0 * weight.lower().get(c) / weight.scale().get(c);
            int doubled = nearest(twice, "weights of output channel " + c);
            int step = doubled % 2 == 0 ? 2 : 1;
            long largest = 0;
            for (int i = c; i < codes.length; i += out) {
                this.weight[i] = (2 * (codes[i] & 0xFF) - doubled) / step;
                largest += Math.abs(this.weight[i]);
            }
            double unit = (double) input.scale() * weight.scale().get(c) * step / 2;
            double whole = b == null ? 0 : Math.rint(b.get(c) / unit);
            if (Math.abs(whole) + (double) largest * input.maxCode() > Integer.MAX_VALUE) {
                throw new IllegalArgumentException("sums of output channel " + c + " do not fit into 32 bits");
            }
            bias[c] = (int) whole;
            scale[c] = (float) unit;
            if (output != null) {
                factors[c] = Dyadic.of(unit / output.scale());
            }
        }
    }

    private static int zero(UniformGrid grid) {
        return nearest(-(double) grid.lower() / grid.scale(), "values from " + grid.lower() + " to " + grid.upper());
    }

    /** Returns a position on a grid that is an integer but for the rounding of its bounds. */
    private static int nearest(double position, String what) {
        double whole = Math.rint(position);
        if (Math.abs(position - whole) > 1e-3) {
            throw new IllegalArgumentException("the grid of " + what + " has no level at 0, as integers need it");
        }
        return (int) whole;
    }

    /** Returns the edge of the kernel. */
    public int kernel() {
        return kernel;
    }

    /** Returns the input channels. */
    public int inChannels() {
        return in;
    }

    /** Returns the output channels. */
    public int outChannels() {
        return out;
    }

    /** Returns the grid of the input. */
    public UniformGrid input() {
        return input;
    }

    /** Returns the grid of the output, or null if fp32 follows. */
    public @Nullable UniformGrid output() {
        return output;
    }

    /** Quantizes values to codes, counted from that of 0. */
    public void quantize(float[] x, int at, short[] codes, int to, int count) {
        for (int i = 0; i < count; i++) {
            codes[to + i] = (short) (input.code(x[at + i]) - inputZero);
        }
    }

    /**
     * Computes the sums of a row.
     *
     * @param codes {@code [height, width, in]} of an image from index {@code at} on
     * @param row of the input that the middle of the kernel lies on; it may be outside
     * @param sums {@code [width, out]}
     */
    public void sums(short[] codes, int at, int height, int width, int row, int[] sums) {
        LowBitKernels kernels = KernelProvider.kernels().lowBit();
        int padding = kernel / 2;
        for (int column = 0; column < width; column++) {
            int into = column * out;
            System.arraycopy(bias, 0, sums, into, out);
            for (int ky = Math.max(0, padding - row); ky < Math.min(kernel, height + padding - row); ky++) {
                int first = Math.max(0, padding - column);
                int end = Math.min(kernel, width + padding - column);
                int source = at + ((row + ky - padding) * width + column + first - padding) * in;
                // Taps beside each other are as one with more channels.
                kernels.addProducts(
                        codes, source, (end - first) * in, weight, (ky * kernel + first) * in * out, out, sums, into);
            }
        }
    }

    /**
     * Turns the sums of a row into codes of the output, counted from that of 0.
     *
     * @param relu whether values below 0 become 0
     */
    public void requantize(int[] sums, boolean relu, short[] codes, int at) {
        if (output == null) {
            throw new IllegalStateException("the output of this convolution has no codes");
        }
        int least = relu ? Math.max(0, -outputZero) : -outputZero;
        int most = output.maxCode() - outputZero;
        for (int i = 0; i < sums.length; i += out) {
            for (int c = 0; c < out; c++) {
                codes[at + i + c] = (short) Math.clamp(factors[c].apply(sums[i + c]), least, Math.max(least, most));
            }
        }
    }

    /** Turns the sums of a row into what they stand for. */
    public void dequantize(int[] sums, float[] y, int at) {
        for (int i = 0; i < sums.length; i += out) {
            for (int c = 0; c < out; c++) {
                y[at + i + c] = scale[c] * sums[i + c];
            }
        }
    }

    /** Returns what a code of the output stands for, counted from that of 0. */
    public float level(int code) {
        if (output == null) {
            throw new IllegalStateException("the output of this convolution has no codes");
        }
        return output.level(code + outputZero);
    }
}
