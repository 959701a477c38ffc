// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import dev.halftone.tensor.Tensor;

/**
 * The luma of ITU-R BT.601 in studio swing, as MATLAB's {@code rgb2ycbcr}: {@code Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255}
 * with RGB in 0..255. It is not rounded, because super-resolution papers measure it unrounded.
 */
public final class Luma {
    private Luma() {}

    /** Returns the luma {@code [H, W, 1]}, 16..235, of {@code [H, W, 3]}, RGB 0..255. */
    public static Tensor of(Tensor rgb) {
        if (rgb.shape().rank() != 3 || rgb.dim(2) != 3) {
            throw new IllegalArgumentException("a colour image is [H, W, 3], not " + rgb.shape());
        }
        Tensor luma = Tensor.zeros(rgb.dim(0), rgb.dim(1), 1);
        float[] from = rgb.array();
        for (int i = 0, at = rgb.offset(); i < luma.size(); i++, at += 3) {
            luma.array()[i] = (float) (16 + (65.481 * from[at] + 128.553 * from[at + 1] + 24.966 * from[at + 2]) / 255);
        }
        return luma;
    }
}
