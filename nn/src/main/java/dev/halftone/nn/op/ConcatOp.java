// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The operands one after the other along one dimension; they agree in all others.
 *
 * @param axis the dimension; negative counts from the end
 */
public record ConcatOp(int axis) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        int length = 0;
        for (Shape s : inputs) {
            if (s.rank() != inputs[0].rank() || !s.with(axis, 0).equals(inputs[0].with(axis, 0))) {
                throw new IllegalArgumentException(
                        "concat along dimension " + axis + ": " + inputs[0] + " and " + s + " differ elsewhere");
            }
            length += s.dim(axis);
        }
        return inputs[0].with(axis, length);
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        int at = 0;
        for (Tensor part : inputs) {
            SliceOp.copy(compute, output, axis, at, part, false);
            at += part.dim(axis);
        }
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        @Nullable Tensor[] result = new @Nullable Tensor[inputs.length];
        int at = 0;
        for (int i = 0; i < inputs.length; i++) {
            if (wanted[i]) {
                Tensor part = Tensor.zeros(inputs[i].shape());
                SliceOp.copy(compute, gradient, axis, at, part, true);
                result[i] = part;
            }
            at += inputs[i].dim(axis);
        }
        return result;
    }
}
