// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.PointwiseKernels;
import org.jspecify.annotations.Nullable;

/** The scalar {@code scale * sum |a - b|}; {@code scale = 1 / size} is the mean absolute error. The gradient at {@code a = b} is 0. */
public record L1LossOp(float scale) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        if (!inputs[0].equals(inputs[1])) {
            throw new IllegalArgumentException("L1 loss: shapes " + inputs[0] + " and " + inputs[1] + " differ");
        }
        return Shape.of();
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        PointwiseKernels kernels = KernelProvider.kernels().pointwise();
        double sum = Ranges.sum(
                compute, inputs[0].size(), (from, to) -> kernels.absoluteError(inputs[0], inputs[1], from, to));
        output.fill((float) (scale * sum));
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        float[] a = inputs[0].array();
        float[] b = inputs[1].array();
        float step = gradient.item() * scale;
        Tensor da = Tensor.zeros(inputs[0].shape());
        Ranges.forEach(compute, da.size(), (from, to) -> {
            for (int i = from; i < to; i++) {
                da.array()[i] = step * Math.signum(a[inputs[0].offset() + i] - b[inputs[1].offset() + i]);
            }
        });
        return new @Nullable Tensor[] {wanted[0] ? da : null, wanted[1] ? ScaleOp.scaled(compute, da, -1) : null};
    }
}
