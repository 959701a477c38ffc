// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.PointwiseKernels;
import org.jspecify.annotations.Nullable;

/** {@code y = x > 0 ? x : slope * x}; slope 0 is ReLU. The gradient at 0 is {@code slope}. */
public record LeakyReluOp(float slope) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
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
        Ranges.forEach(compute, output.size(), (from, to) -> kernels.leakyRelu(inputs[0], slope, output, from, to));
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        PointwiseKernels kernels = KernelProvider.kernels().pointwise();
        Tensor dx = Tensor.zeros(output.shape());
        Ranges.forEach(
                compute,
                output.size(),
                (from, to) -> kernels.leakyReluGradient(inputs[0], slope, gradient, dx, from, to));
        return new @Nullable Tensor[] {dx};
    }
}
