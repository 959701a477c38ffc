// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** The inverse of {@link PixelShuffleOp}: {@code [N, H r, W r, C]} to {@code [N, H, W, C r^2]}. */
public record PixelUnshuffleOp(int factor) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        Shape x = inputs[0];
        PixelMap.requireImages("pixel unshuffle", x);
        if (factor < 1 || x.dim(1) % factor != 0 || x.dim(2) % factor != 0) {
            throw new IllegalArgumentException(
                    "pixel unshuffle: " + factor + " does not divide height and width of " + x);
        }
        return Shape.of(x.dim(0), x.dim(1) / factor, x.dim(2) / factor, x.dim(3) * factor * factor);
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        PixelShuffleOp.shuffle(compute, output, inputs[0], factor, false);
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        Tensor dx = Tensor.zeros(inputs[0].shape());
        PixelShuffleOp.shuffle(compute, gradient, dx, factor, true);
        return new @Nullable Tensor[] {dx};
    }
}
