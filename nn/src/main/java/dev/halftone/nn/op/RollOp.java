// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Shifts {@code [N, H, W, C]} cyclically: pixel {@code (y, x)} moves to {@code (y + rows, x + columns)}, and what leaves on one
 * side comes in on the other (the cyclic shift of Swin Transformers).
 */
public record RollOp(int rows, int columns) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        PixelMap.requireImages("roll", inputs[0]);
        return inputs[0];
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        int height = output.dim(1);
        int width = output.dim(2);
        PixelMap map = (n, row, column) ->
                (n * height + Math.floorMod(row - rows, height)) * width + Math.floorMod(column - columns, width);
        map.gather(compute, inputs[0], output);
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        Tensor dx = Tensor.zeros(output.shape());
        new RollOp(-rows, -columns).forward(compute, new Tensor[] {gradient}, dx);
        return new @Nullable Tensor[] {dx};
    }
}
