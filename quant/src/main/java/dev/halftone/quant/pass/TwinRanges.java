// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.format.LevelQuantizer;

/**
 * Levels of two ranges with a step each, where most values are close to 0 and a few are far from it (PTQ4ViT, Yuan et al. 2022, section 3.1):
 * one bit of a code says which range it is in, and {@code n = 2^(bits - 1)} codes are left for either. The larger step is {@code 2^ratio}
 * of the smaller ones, so products of both ranges are added behind a shift.
 */
final class TwinRanges {
    private TwinRanges() {}

    /**
     * Returns the levels of what a softmax has made: the larger steps reach up to {@code 2^-top}, of which the first {@code n} of the smaller
     * steps have the part close to 0. The paper's reach is 1, and its larger steps count from 0; here they count from 1, as 0 is a smaller
     * step already.
     *
     * @param bits 2 to 8
     */
    static LevelQuantizer probabilities(int bits, int top, int ratio) {
        int n = 1 << (bits - 1);
        double large = Math.scalb(1.0, -top) / n;
        double small = Math.scalb(large, -ratio);
        double[] levels = new double[2 * n];
        for (int i = 0; i < n; i++) {
            levels[i] = i * small;
            // Below the end of the first range, these are levels of that, too.
            levels[n + i] = (i + 1) * large;
        }
        return LevelQuantizer.of(bits, levels);
    }

    /**
     * Returns the levels of what a GELU has made: {@code n} smaller steps below 0, {@code n - 1} larger ones above.
     *
     * @param bits 2 to 8
     * @param step the larger one
     */
    static LevelQuantizer bothSides(int bits, double step, int ratio) {
        int n = 1 << (bits - 1);
        double[] levels = new double[2 * n];
        for (int i = 0; i < n; i++) {
            levels[i] = (i - n) * Math.scalb(step, -ratio);
            levels[n + i] = i * step;
        }
        return LevelQuantizer.of(bits, levels);
    }
}
