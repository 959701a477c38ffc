// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** Adds zeros around {@code [N, H, W, C]}; negative amounts crop. */
public record ZeroPadOp(int top, int bottom, int left, int right) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        Shape x = inputs[0];
        PixelMap.requireImages("zero pad", x);
        int height = x.dim(1) + top + bottom;
        int width = x.dim(2) + left + right;
        if (height < 0 || width < 0) {
            throw new IllegalArgumentException("zero pad: " + top + " above, " + bottom + " below, " + left + " left, "
                    + right + " right crop more than there is of " + x);
        }
        return Shape.of(x.dim(0), height, width, x.dim(3));
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        int height = inputs[0].dim(1);
        int width = inputs[0].dim(2);
        PixelMap map = (n, row, column) -> {
            int y = row - top;
            int x = column - left;
            return y < 0 || y >= height || x < 0 || x >= width ? -1 : (n * height + y) * width + x;
        };
        map.gather(compute, inputs[0], output);
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        Tensor dx = Tensor.zeros(inputs[0].shape());
        new ZeroPadOp(-top, -bottom, -left, -right).forward(compute, new Tensor[] {gradient}, dx);
        return new @Nullable Tensor[] {dx};
    }
}
