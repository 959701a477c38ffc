// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.calibration;

import dev.halftone.tensor.UniformGrid;

/** A method that chooses the grid on which values are quantized. Implementations are stateless. */
public interface Calibrator {
    /** Returns the short name, for example {@code minmax}. */
    String id();

    /**
     * Chooses a grid.
     *
     * @param bits 1 to 8
     * @param tails what is known about the distribution's shape beforehand, from where in a network the values occur
     * @throws IllegalStateException naming the tensor, if there are no values
     */
    UniformGrid calibrate(Distribution values, int bits, Tails tails);

    /**
     * Returns the grid from {@code min} to {@code max}. Where these are the same (a dead channel), code 0 is exactly that value and the grid
     * extends a little above it, so that every value seen is represented without error.
     */
    static UniformGrid covering(int bits, float min, float max) {
        boolean wide = (max - min) / ((1 << bits) - 1) > 0;
        return new UniformGrid(bits, min, wide ? max : min + Math.max(0x1p-10f * Math.abs(min), 1e-6f));
    }
}
