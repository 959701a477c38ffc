// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** The same elements under another shape. */
public record ReshapeOp(Shape shape) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        if (inputs[0].size() != shape.size()) {
            throw new IllegalArgumentException("reshape: " + inputs[0] + " to " + shape);
        }
        return shape;
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        output.copyFrom(inputs[0].reshape(shape));
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        return new @Nullable Tensor[] {gradient.reshape(inputs[0].shape())};
    }
}
