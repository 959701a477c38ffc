// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.PointwiseKernels;
import org.jspecify.annotations.Nullable;

/** {@code y = factor * x}. */
public record ScaleOp(float factor) implements Op {
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
        scale(compute, inputs[0], factor, output);
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        return new @Nullable Tensor[] {scaled(compute, gradient, factor)};
    }

    static Tensor scaled(Compute compute, Tensor x, float factor) {
        Tensor y = Tensor.zeros(x.shape());
        scale(compute, x, factor, y);
        return y;
    }

    private static void scale(Compute compute, Tensor x, float factor, Tensor y) {
        PointwiseKernels kernels = KernelProvider.kernels().pointwise();
        Ranges.forEach(compute, y.size(), (from, to) -> kernels.scale(x, factor, y, from, to));
    }
}
