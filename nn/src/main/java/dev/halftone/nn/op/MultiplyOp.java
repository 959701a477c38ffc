// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.PointwiseKernels;
import org.jspecify.annotations.Nullable;

/** Elementwise {@code y = a * b} for operands of the same shape. */
public record MultiplyOp() implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        if (!inputs[0].equals(inputs[1])) {
            throw new IllegalArgumentException("multiply: shapes " + inputs[0] + " and " + inputs[1] + " differ");
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
        multiply(compute, inputs[0], inputs[1], output);
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        return new @Nullable Tensor[] {
            wanted[0] ? multiply(compute, gradient, inputs[1], Tensor.zeros(output.shape())) : null,
            wanted[1] ? multiply(compute, gradient, inputs[0], Tensor.zeros(output.shape())) : null
        };
    }

    private static Tensor multiply(Compute compute, Tensor a, Tensor b, Tensor y) {
        PointwiseKernels kernels = KernelProvider.kernels().pointwise();
        Ranges.forEach(compute, y.size(), (from, to) -> kernels.multiply(a, b, y, from, to));
        return y;
    }
}
