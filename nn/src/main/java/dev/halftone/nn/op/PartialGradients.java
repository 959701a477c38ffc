// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.util.Arrays;
import java.util.List;

/**
 * The gradients of parameters, summed up in parts: work is cut into blocks of units whatever the number of threads is, every block adds
 * up its own sums, and these are added in order.
 */
final class PartialGradients {
    /** More blocks than that would only take memory. */
    private static final int MOST_BLOCKS = 64;

    private final List<Shape> shapes;
    private final int[] offsets;
    private final int unitsPerBlock;
    private final Tensor blocks;

    /**
     * Prepares sums of zero.
     *
     * @param units of work, each done as a whole
     * @param least units of a block
     * @param shapes of the parameters
     */
    PartialGradients(int units, int least, Shape... shapes) {
        this.shapes = List.of(shapes);
        this.offsets = new int[shapes.length + 1];
        for (int i = 0; i < shapes.length; i++) {
            offsets[i + 1] = offsets[i] + shapes[i].size();
        }
        this.unitsPerBlock = Math.max(least, Math.ceilDiv(units, MOST_BLOCKS));
        this.blocks = Tensor.zeros(Math.ceilDiv(units, unitsPerBlock), offsets[shapes.length]);
    }

    /** Returns the units of a block, the last of which may have fewer. */
    int unitsPerBlock() {
        return unitsPerBlock;
    }

    /** Returns where the block that a unit belongs to adds up the gradient of a parameter. */
    Tensor of(int unit, int parameter) {
        int at = unit / unitsPerBlock * blocks.dim(1) + offsets[parameter];
        return Tensor.wrap(blocks.array(), at, shapes.get(parameter));
    }

    /** Returns the gradients. */
    Tensor[] total(Compute compute) {
        Tensor total = AddOp.columnSums(compute, blocks, Shape.of(blocks.dim(1)));
        Tensor[] gradients = new Tensor[shapes.size()];
        Arrays.setAll(gradients, i -> Tensor.wrap(total.array(), offsets[i], shapes.get(i)));
        return gradients;
    }
}
