// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The entries {@code from} (inclusive) to {@code to} (exclusive) of one dimension.
 *
 * @param axis the dimension; negative counts from the end
 */
public record SliceOp(int axis, int from, int to) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        if (from < 0 || from > to || to > inputs[0].dim(axis)) {
            throw new IllegalArgumentException(
                    "slice: " + from + " to " + to + " of dimension " + axis + " of " + inputs[0]);
        }
        return inputs[0].with(axis, to - from);
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        copy(compute, inputs[0], axis, from, output, true);
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        Tensor dx = Tensor.zeros(inputs[0].shape());
        copy(compute, dx, axis, from, gradient, false);
        return new @Nullable Tensor[] {dx};
    }

    /** Moves {@code part} out of or into {@code whole}, where it begins at entry {@code at} of a dimension. */
    static void copy(Compute compute, Tensor whole, int axis, int at, Tensor part, boolean out) {
        Axis w = Axis.of(whole.shape(), axis);
        int length = part.dim(axis) * w.inner();
        compute.forEachRange(w.outer(), (first, end) -> {
            for (int i = first; i < end; i++) {
                int wholeAt = whole.offset() + (i * w.length() + at) * w.inner();
                int partAt = part.offset() + i * length;
                if (out) {
                    System.arraycopy(whole.array(), wholeAt, part.array(), partAt, length);
                } else {
                    System.arraycopy(part.array(), partAt, whole.array(), wholeAt, length);
                }
            }
        });
    }
}
