// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;

/**
 * The coefficients that turn the integer sums of a {@link PackedConv} into its outputs, one set per output channel and border
 * case. A border case says how many kernel rows and columns fall outside the image above, below, left and right of it.
 */
public final class ConvAffine {
    private final int padding;
    private final int inChannels;
    private final int outChannels;
    private final float[] a;
    private final float[] b;
    private final float[] d;
    private final int[] weightSums;

    /**
     * Computes the coefficients.
     *
     * @throws IllegalArgumentException if a sum of code products can exceed 2^31 - 1 or a coefficient is not finite in float32
     */
    public ConvAffine(QuantizedConvWeight weight, UniformGrid activation) {
        int kernel = weight.kernel();
        ChannelNormalization input = weight.input();
        padding = kernel / 2;
        inChannels = weight.inChannels();
        outChannels = weight.outChannels();
        int maxWeight = (1 << weight.codes().bits()) - 1;
        if ((long) kernel * kernel * inChannels * maxWeight * activation.maxCode() > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("sums of " + (long) kernel * kernel * inChannels + " products of "
                    + weight.codes().bits() + "-bit and " + activation.bits() + "-bit codes do not fit into 32 bits");
        }
        int cases = (padding + 1) * (padding + 1) * (padding + 1) * (padding + 1);
        a = new float[outChannels];
        b = new float[outChannels];
        d = new float[cases * outChannels];
        weightSums = new int[cases * outChannels];
        // Of codes, weighed by what the offsets of the input's channels add to it.
        double[] shiftedSums = new double[cases * outChannels];
        sumWeights(weight, shiftedSums);
        double meanShift = 0;
        for (int c = 0; input != null && c < inChannels; c++) {
            meanShift += input.shift(c) / inChannels;
        }

        double sx = activation.scale();
        double lx = activation.lower();
        Tensor bias = weight.bias();
        for (int c = 0; c < outChannels; c++) {
            double sw = weight.scale().get(c);
            double lw = weight.lower().get(c);
            a[c] = finite(sx * sw, c);
            b[c] = finite(sx * lw, c);
            for (int i = 0; i < cases; i++) {
                double constant = lx * (sw * weightSums[i * outChannels + c] + taps(i) * lw);
                if (input != null) {
                    constant += sw * shiftedSums[i * outChannels + c] + taps(i) * meanShift * lw;
                }
                d[i * outChannels + c] = finite(bias == null ? constant : constant + bias.get(c), c);
            }
        }
    }

    private static float finite(double coefficient, int channel) {
        float f = (float) coefficient;
        if (!Float.isFinite(f)) {
            throw new IllegalArgumentException(
                    "output channel " + channel + " has a coefficient that float32 cannot hold: " + coefficient);
        }
        return f;
    }

    private void sumWeights(QuantizedConvWeight weight, double[] shiftedSums) {
        ChannelNormalization input = weight.input();
        int kernel = weight.kernel();
        byte[] codes = weight.codes().unpack();
        for (int ky = 0, at = 0; ky < kernel; ky++) {
            for (int kx = 0; kx < kernel; kx++) {
                int[] tap = new int[outChannels];
                double[] shifted = new double[outChannels];
                for (int ci = 0; ci < inChannels; ci++) {
                    double shift = input == null ? 0 : input.shift(ci);
                    for (int c = 0; c < outChannels; c++, at++) {
                        tap[c] += codes[at] & 0xFF;
                        shifted[c] += shift * (codes[at] & 0xFF);
                    }
                }
                addTap(ky, kx, tap, shifted, shiftedSums);
            }
        }
    }

    /** Adds a tap's sums to every border case that has the tap inside the image. */
    private void addTap(int ky, int kx, int[] sums, double[] shifted, double[] shiftedSums) {
        int kernel = 2 * padding + 1;
        for (int above = 0; above <= Math.min(ky, padding); above++) {
            for (int below = 0; below <= Math.min(kernel - 1 - ky, padding); below++) {
                for (int left = 0; left <= Math.min(kx, padding); left++) {
                    for (int right = 0; right <= Math.min(kernel - 1 - kx, padding); right++) {
                        int at = caseOf(above, below, left, right) * outChannels;
                        for (int c = 0; c < outChannels; c++) {
                            weightSums[at + c] += sums[c];
                            shiftedSums[at + c] += shifted[c];
                        }
                    }
                }
            }
        }
    }

    private int caseOf(int above, int below, int left, int right) {
        int n = padding + 1;
        return ((above * n + below) * n + left) * n + right;
    }

    /** Returns the border case of the output at {@code (row, column)} of an image. */
    public int border(int row, int column, int height, int width) {
        return caseOf(
                Math.max(0, padding - row),
                Math.max(0, row + padding - (height - 1)),
                Math.max(0, padding - column),
                Math.max(0, column + padding - (width - 1)));
    }

    /** Returns the number of products in an output of a border case: taps inside the image times input channels. */
    public int taps(int border) {
        int n = padding + 1;
        int right = border % n;
        int left = border / n % n;
        int below = border / (n * n) % n;
        int above = border / (n * n * n);
        int kernel = 2 * padding + 1;
        return (kernel - above - below) * (kernel - left - right) * inChannels;
    }

    /** Returns the sum of the weight codes of the taps inside the image for output channel {@code c}. */
    public int weightSum(int border, int c) {
        return weightSums[border * outChannels + c];
    }

    /** Returns the number of border cases. */
    public int borders() {
        return d.length / outChannels;
    }

    /** Returns the coefficients of {@code SUM qx * qw}, one per output channel (not a copy). */
    public float[] a() {
        return a;
    }

    /** Returns the coefficients of {@code SUM qx}, one per output channel (not a copy). */
    public float[] b() {
        return b;
    }

    /** Returns the constants {@code [border case, output channel]} (not a copy). */
    public float[] d() {
        return d;
    }

    /** Returns the output of channel {@code c} for its two sums; vector kernels repeat these operations lane by lane. */
    public float apply(int border, int c, int productSum, int codeSum) {
        return Math.fma(a[c], productSum, Math.fma(b[c], codeSum, d[border * outChannels + c]));
    }
}
