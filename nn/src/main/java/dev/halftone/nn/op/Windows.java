// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Tensor;

/** The constants of shifted-window attention (Liu et al. 2021, Swin Transformer, section 3.2). */
public final class Windows {
    /** What the mask adds to the logit of a pair that must not attend, as in the official code. */
    private static final float BLOCKED = -100;

    private Windows() {}

    /**
     * Returns which row of a relative position bias table {@code [(2 window - 1)^2, heads]} each pair of pixels of a window uses:
     * for pixels i and j, numbered row by row, entry {@code [i][j]} is
     * {@code (yi - yj + window - 1) (2 window - 1) + (xi - xj + window - 1)}.
     */
    public static int[][] relativePositionIndex(int window) {
        int pixels = window * window;
        int[][] index = new int[pixels][pixels];
        for (int i = 0; i < pixels; i++) {
            for (int j = 0; j < pixels; j++) {
                int dy = i / window - j / window + window - 1;
                int dx = i % window - j % window + window - 1;
                index[i][j] = dy * (2 * window - 1) + dx;
            }
        }
        return index;
    }

    /**
     * Returns the attention mask for an image that was rolled by {@code -shift} in both directions: {@code [windows, window^2,
     * window^2]}, 0 where two pixels of a window were neighbours before the roll, -100 where the roll brought them together.
     *
     * @param height a multiple of {@code window}, like {@code width}
     * @param shift 1 to {@code window - 1}
     */
    public static Tensor shiftMask(int height, int width, int window, int shift) {
        if (window < 1 || height % window != 0 || width % window != 0 || shift < 1 || shift >= window) {
            throw new IllegalArgumentException(
                    "windows of " + window + " shifted by " + shift + " on an image of " + height + "x" + width);
        }
        int across = width / window;
        int pixels = window * window;
        Tensor mask = Tensor.zeros(height / window * across, pixels, pixels);
        for (int w = 0; w < mask.dim(0); w++) {
            int top = w / across * window;
            int left = w % across * window;
            for (int i = 0; i < pixels; i++) {
                for (int j = 0; j < pixels; j++) {
                    boolean together = region(top + i / window, height, window, shift)
                                    == region(top + j / window, height, window, shift)
                            && region(left + i % window, width, window, shift)
                                    == region(left + j % window, width, window, shift);
                    mask.set(together ? 0 : BLOCKED, w, i, j);
                }
            }
        }
        return mask;
    }

    /** Returns the part of a side that a position of the rolled image is in: untouched, kept in the last window, or rolled in. */
    private static int region(int position, int size, int window, int shift) {
        return position < size - window ? 0 : position < size - shift ? 1 : 2;
    }
}
