// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * One dimension reversed.
 *
 * @param axis the dimension; negative counts from the end
 */
public record FlipOp(int axis) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        if (axis >= inputs[0].rank() || axis < -inputs[0].rank()) {
            throw new IllegalArgumentException("flip: dimension " + axis + " of " + inputs[0]);
        }
        return inputs[0];
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        Axis a = Axis.of(output.shape(), axis);
        compute.forEachRange(a.outer() * a.length(), (from, to) -> {
            for (int i = from; i < to; i++) {
                int mirrored = i - i % a.length() + a.length() - 1 - i % a.length();
                System.arraycopy(
                        inputs[0].array(),
                        inputs[0].offset() + mirrored * a.inner(),
                        output.array(),
                        output.offset() + i * a.inner(),
                        a.inner());
            }
        });
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        Tensor dx = Tensor.zeros(output.shape());
        forward(compute, new Tensor[] {gradient}, dx);
        return new @Nullable Tensor[] {dx};
    }
}
