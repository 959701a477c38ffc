// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Tensor;
import java.util.Objects;

/**
 * Self-attention inside square windows of feature maps (Liu et al. 2021, Swin Transformer). The input {@code [batch, height, width,
 * 3 heads depth]} holds query, key and value of every pixel, each {@code heads} times {@code depth} channels; the output is
 * {@code [batch, height, width, heads depth]}. Windows are those of the map rolled by {@code -shift} in both directions.
 *
 * @param height a multiple of {@code window}, like {@code width}
 * @param depth channels of a head
 * @param window side of a window in pixels
 * @param shift 0 to {@code window - 1}
 */
public record AttentionGeometry(int batch, int height, int width, int heads, int depth, int window, int shift) {
    /** What {@link #stride()} is a multiple of: the longest vectors. */
    static final int STRIDE_UNIT = 16;

    /** Checks that the sizes fit together. */
    public AttentionGeometry {
        if (heads < 1 || depth < 1 || window < 1 || shift < 0 || shift >= window) {
            throw new IllegalArgumentException(
                    heads + " heads of " + depth + " channels in windows of " + window + " shifted by " + shift);
        }
        if (height % window != 0 || width % window != 0) {
            throw new IllegalArgumentException(
                    "windows of " + window + " do not divide a map of " + height + "x" + width);
        }
    }

    /** Returns {@code heads depth}. */
    public int channels() {
        return heads * depth;
    }

    /** Returns the number of windows in the batch. */
    public int windows() {
        return batch * (height / window) * (width / window);
    }

    /** Returns the number of pixels of a window. */
    public int pixels() {
        return window * window;
    }

    /** Returns the length of a row of scores: the pixels of a window, rounded up. */
    public int stride() {
        return Math.ceilDiv(pixels(), STRIDE_UNIT) * STRIDE_UNIT;
    }

    /**
     * Returns the number of kinds of windows, which have biases of their own: one without a shift, else four, see {@link #kind}.
     */
    public int kinds() {
        return shift == 0 ? 1 : 4;
    }

    /** Returns the kind of a window: 1 is added for the last ones of a row, 2 for those in the last row; without a shift, all are 0. */
    public int kind(int index) {
        if (shift == 0) {
            return 0;
        }
        int across = width / window;
        int down = height / window;
        return (index % across == across - 1 ? 1 : 0) + (index / across % down == down - 1 ? 2 : 0);
    }

    /** Returns the size of the biases {@code [heads, pixels, stride]} of scores, where entry {@code [.., j, i]} is for query i and key j. */
    public int biasSize() {
        return heads * pixels() * stride();
    }

    /** Fills {@code pixels} with where in the batch (image by image, row by row) the pixels of a window are. */
    public void pixels(int index, int[] pixels) {
        int across = width / window;
        int perImage = height / window * across;
        int image = index / perImage;
        int top = index % perImage / across * window + shift;
        int left = index % across * window + shift;
        for (int i = 0, y = top; y < top + window; y++) {
            for (int x = left; x < left + window; x++, i++) {
                pixels[i] = (image * height + (y >= height ? y - height : y)) * width + (x >= width ? x - width : x);
            }
        }
    }

    /** Returns what queries are multiplied with: {@code depth^-1/2}. */
    public float queryScale() {
        return (float) (1 / Math.sqrt(depth));
    }

    /**
     * Checks the sizes of what {@link AttentionKernels} reads and writes.
     *
     * @throws IllegalArgumentException if one does not fit this geometry
     * @throws IndexOutOfBoundsException if {@code [from, to)} are not among {@link #windows()}
     */
    public void check(Tensor qkv, float[][] biases, Tensor y, int from, int to) {
        long outputs = (long) batch * height * width * channels();
        if (qkv.size() != 3 * outputs
                || y.size() != outputs
                || biases.length != kinds()
                || biases[0].length != biasSize()) {
            throw new IllegalArgumentException("queries, keys and values " + qkv.shape() + ", " + biases.length + " x "
                    + biases[0].length + " biases and output " + y.shape() + " do not fit " + this);
        }
        Objects.checkFromToIndex(from, to, windows());
    }
}
