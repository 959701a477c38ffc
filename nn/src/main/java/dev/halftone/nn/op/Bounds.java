// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.List;

/** The bounds of several grids as one operand {@code [grids, 2]}, lower before upper. */
final class Bounds {
    private Bounds() {}

    /** Checks that there is a pair of bounds for each grid. */
    static void require(String op, List<Integer> bits, Shape bounds) {
        if (!bounds.equals(Shape.of(bits.size(), 2))) {
            throw new IllegalArgumentException(
                    op + ": bounds " + bounds + " instead of [" + bits.size() + ", 2], lower and upper");
        }
    }

    /** Returns the grids. */
    static UniformGrid[] grids(List<Integer> bits, Tensor bounds) {
        UniformGrid[] grids = new UniformGrid[bits.size()];
        for (int i = 0; i < grids.length; i++) {
            grids[i] = new UniformGrid(bits.get(i), bounds.get(i, 0), bounds.get(i, 1));
        }
        return grids;
    }
}
