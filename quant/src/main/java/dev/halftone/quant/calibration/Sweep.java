// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.calibration;

import dev.halftone.tensor.UniformGrid;
import java.util.function.ToDoubleFunction;

/** A search along a one-dimensional family of bounds. */
final class Sweep {
    /** A family: bounds number {@code i}, of which number 0 is the whole range. */
    @FunctionalInterface
    interface Family {
        float[] bounds(int i);
    }

    private Sweep() {}

    /** Returns the grid of least cost; of several, the first. Families over a single value give the grid that covers it. */
    static UniformGrid argmin(int bits, int candidates, Family family, ToDoubleFunction<UniformGrid> cost) {
        float[] whole = family.bounds(0);
        UniformGrid best = Calibrator.covering(bits, whole[0], whole[1]);
        double bestCost = cost.applyAsDouble(best);
        for (int i = 1; i < candidates; i++) {
            float[] bounds = family.bounds(i);
            // A range of a few ulps has candidates in which the bounds meet.
            if ((bounds[1] - bounds[0]) / ((1 << bits) - 1) > 0) {
                UniformGrid grid = new UniformGrid(bits, bounds[0], bounds[1]);
                double c = cost.applyAsDouble(grid);
                if (c < bestCost) {
                    bestCost = c;
                    best = grid;
                }
            }
        }
        return best;
    }

    /**
     * Returns the range {@code [min, max]} shrunk to {@code 1 - 0.01 i} of its width towards 0, or towards the bound nearer to 0 where the
     * range does not contain it.
     */
    static float[] shrunk(float min, float max, int i) {
        float factor = 1 - 0.01f * i;
        float fixed = Math.clamp(0f, min, max);
        return new float[] {fixed + factor * (min - fixed), fixed + factor * (max - fixed)};
    }
}
