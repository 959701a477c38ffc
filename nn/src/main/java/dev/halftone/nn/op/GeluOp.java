// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.NormKernels;
import org.jspecify.annotations.Nullable;

/** The Gaussian error linear unit (Hendrycks and Gimpel 2016) in its exact form: {@code x} times the normal probability below {@code x}. */
public record GeluOp() implements Op {
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
        NormKernels kernels = KernelProvider.kernels().norm();
        Ranges.forEach(compute, output.size(), (from, to) -> kernels.gelu(inputs[0], output, from, to));
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        NormKernels kernels = KernelProvider.kernels().norm();
        Ranges.forEach(
                compute, output.size(), (from, to) -> kernels.geluGradient(inputs[0], gradient, gradient, from, to));
        return new @Nullable Tensor[] {gradient};
    }
}
