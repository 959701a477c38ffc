// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The dimensions in another order: dimension {@code i} of the output is dimension {@code order[i]} of the operand. */
public record PermuteOp(List<Integer> order) implements Op {
    /** Copies the list. */
    public PermuteOp {
        order = List.copyOf(order);
    }

    @Override
    public Shape outputShape(Shape... inputs) {
        Shape x = inputs[0];
        List<Integer> sorted = new ArrayList<>(order);
        Collections.sort(sorted);
        int[] dims = new int[x.rank()];
        for (int i = 0; i < dims.length; i++) {
            if (sorted.size() != dims.length || sorted.get(i) != i) {
                throw new IllegalArgumentException("permute: " + order + " is no order of the dimensions of " + x);
            }
            dims[i] = x.dim(order.get(i));
        }
        return Shape.of(dims);
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        Tensor x = inputs[0];
        int rank = order.size();
        if (rank == 0) {
            output.copyFrom(x);
            return;
        }
        int[] strides = new int[rank];
        for (int i = 0; i < rank; i++) {
            strides[i] = Axis.of(x.shape(), order.get(i)).inner();
        }
        int length = output.dim(-1);
        int step = strides[rank - 1];
        float[] from = x.array();
        float[] to = output.array();
        compute.forEachRange(length == 0 ? 0 : output.size() / length, (first, end) -> {
            for (int line = first; line < end; line++) {
                int fromAt = x.offset();
                int rest = line;
                for (int i = rank - 2; i >= 0; i--) {
                    fromAt += rest % output.dim(i) * strides[i];
                    rest /= output.dim(i);
                }
                int toAt = output.offset() + line * length;
                for (int i = 0; i < length; i++) {
                    to[toAt + i] = from[fromAt + i * step];
                }
            }
        });
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        List<Integer> inverse = new ArrayList<>(order);
        for (int i = 0; i < order.size(); i++) {
            inverse.set(order.get(i), i);
        }
        Tensor dx = Tensor.zeros(inputs[0].shape());
        new PermuteOp(inverse).forward(compute, new Tensor[] {gradient}, dx);
        return new @Nullable Tensor[] {dx};
    }
}
