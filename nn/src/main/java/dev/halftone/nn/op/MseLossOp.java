// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.PointwiseKernels;
import org.jspecify.annotations.Nullable;

/** The scalar {@code scale * sum (a - b)^2}; {@code scale = 1 / size} is the mean squared error. */
public record MseLossOp(float scale) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        if (!inputs[0].equals(inputs[1])) {
            throw new IllegalArgumentException("MSE loss: shapes " + inputs[0] + " and " + inputs[1] + " differ");
        }
        return Shape.of();
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        PointwiseKernels kernels = KernelProvider.kernels().pointwise();
        double sum = Ranges.sum(
                compute, inputs[0].size(), (from, to) -> kernels.squaredError(inputs[0], inputs[1], from, to));
        output.fill((float) (scale * sum));
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        float step = 2 * gradient.item() * scale;
        PointwiseKernels kernels = KernelProvider.kernels().pointwise();
        Tensor da = Tensor.zeros(inputs[0].shape());
        Ranges.forEach(compute, da.size(), (from, to) -> {
            kernels.addScaled(inputs[0], -1, inputs[1], da, from, to);
            kernels.scale(da, step, da, from, to);
        });
        return new @Nullable Tensor[] {wanted[0] ? da : null, wanted[1] ? ScaleOp.scaled(compute, da, -1) : null};
    }
}
