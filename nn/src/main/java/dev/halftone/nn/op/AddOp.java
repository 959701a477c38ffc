// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.PointwiseKernels;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * {@code y = a + scale * b}: a residual connection with the branch scaled by {@code scale}. {@code b} has the shape of {@code a},
 * or of its innermost dimensions, and is then repeated over the outer ones.
 */
public record AddOp(float scale) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        int[] a = inputs[0].dims();
        int[] b = inputs[1].dims();
        if (b.length > a.length || !Arrays.equals(b, Arrays.copyOfRange(a, a.length - b.length, a.length))) {
            throw new IllegalArgumentException(
                    "add: " + inputs[1] + " is neither " + inputs[0] + " nor its innermost dimensions");
        }
        return inputs[0];
    }

    @Override
    public boolean elementwise() {
        return true;
    }

    @Override
    public Reach reach(Shape... inputs) {
        return Reach.ROW;
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        PointwiseKernels kernels = KernelProvider.kernels().pointwise();
        if (isRepeated(inputs)) {
            Tensor row = scale == 1 ? inputs[1] : ScaleOp.scaled(compute, inputs[1], scale);
            Tensor a = rows(inputs[0], row.size());
            Tensor y = rows(output, row.size());
            compute.forEachRange(y.dim(0), (from, to) -> kernels.addRow(a, row, y, from, to));
            return;
        }
        Ranges.forEach(compute, output.size(), (from, to) -> {
            if (scale == 1) {
                kernels.add(inputs[0], inputs[1], output, from, to);
            } else {
                kernels.addScaled(inputs[0], scale, inputs[1], output, from, to);
            }
        });
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        Tensor db = null;
        if (wanted[1]) {
            Tensor sum = isRepeated(inputs)
                    ? columnSums(compute, rows(gradient, inputs[1].size()), inputs[1].shape())
                    : gradient;
            db = ScaleOp.scaled(compute, sum, scale);
        }
        return new @Nullable Tensor[] {wanted[0] ? gradient : null, db};
    }

    private static boolean isRepeated(Tensor[] inputs) {
        return inputs[1].size() != inputs[0].size();
    }

    private static Tensor rows(Tensor t, int columns) {
        return t.reshape(columns == 0 ? 0 : t.size() / columns, columns);
    }

    /** Returns the sums over the rows of a matrix, as a tensor of a given shape. */
    static Tensor columnSums(Compute compute, Tensor rows, Shape shape) {
        PointwiseKernels kernels = KernelProvider.kernels().pointwise();
        Tensor sums = Tensor.zeros(shape);
        compute.forEachRange(sums.size(), 64, (from, to) -> kernels.columnSums(rows, sums, from, to));
        return sums;
    }
}
