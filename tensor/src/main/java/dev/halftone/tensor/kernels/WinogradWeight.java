// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The weights of a 3x3 convolution, transformed for {@link ConvKernels#winograd}: {@code U = G w G^T} for every pair of channels,
 * computed in double and rounded once.
 *
 * <p>Winograd's F(4x4, 3x3) (Lavin and Gray 2016) computes a tile of 4x4 outputs from 6x6 inputs with 36 multiplications for each
 * pair of channels instead of 144. The usual points 0, +-1, +-2 magnify rounding errors 3.6 to 4.4 times over those of the
 * direct convolution (64 to 16 channels, root mean square); the points 0, +-5/8, +-3/2 used here only 1.8 to 2.0 times, at hardly
 * more work: all their powers that the transforms need are exact in fp32.
 */
public final class WinogradWeight {
    /** Outputs of a tile in each direction. */
    public static final int TILE = 4;

    /** Inputs of a tile in each direction. */
    public static final int INPUT = 6;

    /**
     * Tiles that are computed together, so that 36 matrix products have as many rows: 64 to 64 channels, 128 x 128, run at 313, 328,
     * 301, 287 and 281 GOP/s (of the direct convolution) with 8, 16, 24, 32 and 64 tiles on one Zen 4 core whose direct convolution
     * runs at 114. What a block keeps between the products (300 KiB) stays in the second-level cache.
     */
    public static final int BLOCK = 16;

    /** The points. */
    public static final float A = 5 / 8f;

    /** The points. */
    public static final float B = 3 / 2f;

    /** Fewer channels than the widest vector has lanes are left to the direct convolution, on every machine alike. */
    private static final int MIN_CHANNELS = 16;

    private static final double[][] G = {
        row(1, 0, 0, A * A * B * B),
        row(1, A, A * A, 2 * A * A * (A * A - B * B)),
        row(1, -A, A * A, 2 * A * A * (A * A - B * B)),
        row(1, B, B * B, 2 * B * B * (B * B - A * A)),
        row(1, -B, B * B, 2 * B * B * (B * B - A * A)),
        row(0, 0, 1, 1)
    };

    private final int inChannels;
    private final int outChannels;
    private final int shuffle;
    private final float[] values;
    private final float[] bias;

    private WinogradWeight(int inChannels, int outChannels, int shuffle, float[] values, float[] bias) {
        this.inChannels = inChannels;
        this.outChannels = outChannels;
        this.shuffle = shuffle;
        this.values = values;
        this.bias = bias;
    }

    private static double[] row(double a, double b, double c, double divisor) {
        return new double[] {a / divisor, b / divisor, c / divisor};
    }

    /**
     * Returns whether a convolution is computed this way: 3x3, padding 1, one group, at least 16 channels on both sides.
     *
     * @param weight {@code [k, k, inChannels / groups, outChannels]}
     */
    public static boolean suits(Shape weight, int padding, int groups) {
        return weight.rank() == 4
                && weight.dim(0) == 3
                && weight.dim(1) == 3
                && padding == 1
                && groups == 1
                && Math.min(weight.dim(2), weight.dim(3)) >= MIN_CHANNELS;
    }

    /** Returns whether the results can be stored shuffled by {@code factor}, as pixels of at least 16 channels. */
    public static boolean suitsShuffle(int outChannels, int factor) {
        return outChannels % (factor * factor) == 0 && outChannels / (factor * factor) >= MIN_CHANNELS;
    }

    /**
     * Transforms weights.
     *
     * @param weight {@code [3, 3, inChannels, outChannels]}
     * @param bias {@code [outChannels]}, or null for zeros
     * @param shuffle the factor of a pixel shuffle that the results are stored through, 1 for none. Channel {@code c r^2 + i r + j}
     *     of the convolution is then kept as channel {@code (i r + j) C + c}, so that what a pixel of the shuffled map gets lies
     *     side by side
     * @throws IllegalArgumentException if the weight does not suit
     */
    public static WinogradWeight of(Tensor weight, @Nullable Tensor bias, int shuffle) {
        if (!suits(weight.shape(), 1, 1) || (shuffle != 1 && !suitsShuffle(weight.dim(3), shuffle))) {
            throw new IllegalArgumentException(
                    "weight " + weight.shape() + " with shuffle " + shuffle + " does not suit Winograd's algorithm");
        }
        int in = weight.dim(2);
        int out = weight.dim(3);
        int pixels = shuffle * shuffle;
        int each = out / pixels;
        float[] values = new float[INPUT * INPUT * in * out];
        float[] biases = new float[out];
        double[] taps = new double[9];
        for (int c = 0; c < out; c++) {
            biases[c] = bias == null ? 0 : bias.array()[bias.offset() + c % each * pixels + c / each];
        }
        for (int ci = 0; ci < in; ci++) {
            for (int c = 0; c < out; c++) {
                for (int tap = 0; tap < 9; tap++) {
                    int from = c % each * pixels + c / each;
                    taps[tap] = weight.array()[weight.offset() + (tap * in + ci) * out + from];
                }
                for (int f = 0; f < INPUT * INPUT; f++) {
                    values[(f * in + ci) * out + c] = (float) transformed(taps, G[f / INPUT], G[f % INPUT]);
                }
            }
        }
        return new WinogradWeight(in, out, shuffle, values, biases);
    }

    private static double transformed(double[] taps, double[] rows, double[] columns) {
        double sum = 0;
        for (int ky = 0; ky < 3; ky++) {
            for (int kx = 0; kx < 3; kx++) {
                sum += rows[ky] * columns[kx] * taps[ky * 3 + kx];
            }
        }
        return sum;
    }

    /** Returns the number of input channels. */
    public int inChannels() {
        return inChannels;
    }

    /** Returns the number of output channels of the convolution, before the shuffle. */
    public int outChannels() {
        return outChannels;
    }

    /** Returns the factor of the pixel shuffle, 1 for none. */
    public int shuffle() {
        return shuffle;
    }

    /** Returns the transformed weights, {@code [36, inChannels, outChannels]}. */
    public float[] values() {
        return values;
    }

    /** Returns the biases, {@code [outChannels]}. */
    public float[] bias() {
        return bias;
    }

    /**
     * The unit of work: up to {@link #BLOCK} neighbouring tiles of a row of tiles.
     *
     * @param n the image
     * @param top the first row of outputs
     * @param left the first column
     * @param height at most 4, fewer at the bottom of the image
     * @param width at most 64
     */
    public record Block(int n, int top, int left, int height, int width) {}

    /** Returns the number of blocks that the outputs of a convolution make. */
    public static int blocks(ConvGeometry g) {
        return g.batch() * Math.ceilDiv(g.outHeight(), TILE) * Math.ceilDiv(g.outWidth(), TILE * BLOCK);
    }

    /** Returns one of {@link #blocks}, which are numbered image by image, in rows. */
    public static Block block(ConvGeometry g, int index) {
        int down = Math.ceilDiv(g.outHeight(), TILE);
        int across = Math.ceilDiv(g.outWidth(), TILE * BLOCK);
        int top = index / across % down * TILE;
        int left = index % across * TILE * BLOCK;
        return new Block(
                index / across / down,
                top,
                left,
                Math.min(TILE, g.outHeight() - top),
                Math.min(TILE * BLOCK, g.outWidth() - left));
    }

    /**
     * Checks the sizes of the tensors of {@link ConvKernels#winograd}.
     *
     * @throws IllegalArgumentException if one does not fit
     * @throws IndexOutOfBoundsException if {@code [from, to)} are not among {@link #blocks}
     */
    public void check(ConvGeometry g, Tensor x, Tensor y, int from, int to) {
        if (g.kernel() != 3
                || g.padding() != 1
                || g.groups() != 1
                || g.inChannels() != inChannels
                || g.outChannels() != outChannels) {
            throw new IllegalArgumentException(
                    g + " with weights for " + inChannels + " to " + outChannels + " channels");
        }
        g.checkSize("input", x, (long) g.batch() * g.height() * g.width() * inChannels);
        g.checkSize("output", y, (long) g.rows() * g.outWidth() * outChannels);
        Objects.checkFromToIndex(from, to, blocks(g));
    }
}
