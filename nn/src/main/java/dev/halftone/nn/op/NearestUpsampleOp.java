// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** Repeats every pixel: {@code [N, H, W, C]} to {@code [N, H factor, W factor, C]}. */
public record NearestUpsampleOp(int factor) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        Shape x = inputs[0];
        PixelMap.requireImages("nearest upsampling", x);
        if (factor < 1) {
            throw new IllegalArgumentException("nearest upsampling by " + factor);
        }
        return Shape.of(x.dim(0), x.dim(1) * factor, x.dim(2) * factor, x.dim(3));
    }

    @Override
    public Reach reach(Shape... inputs) {
        return new Reach(0, factor, factor);
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        map(inputs[0].shape()).gather(compute, inputs[0], output);
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        Shape shape = inputs[0].shape();
        return new @Nullable Tensor[] {map(shape).scatterAdd(compute, gradient, shape)};
    }

    private PixelMap map(Shape x) {
        int height = x.dim(1);
        int width = x.dim(2);
        return (n, row, column) -> (n * height + row / factor) * width + column / factor;
    }
}
