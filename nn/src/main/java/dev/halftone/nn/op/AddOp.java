// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.PointwiseKernels;
import org.jspecify.annotations.Nullable;

/** {@code y = a + scale * b} for operands of the same shape: a residual connection with the branch scaled by {@code scale}. */
public record AddOp(float scale) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        if (!inputs[0].equals(inputs[1])) {
            throw new IllegalArgumentException("add: shapes " + inputs[0] + " and " + inputs[1] + " differ");
        }
        return inputs[0];
    }

    @Override
    public boolean elementwise() {
        return true;
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        PointwiseKernels kernels = KernelProvider.kernels().pointwise();
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
        return new @Nullable Tensor[] {
            wanted[0] ? gradient : null, wanted[1] ? ScaleOp.scaled(compute, gradient, scale) : null
        };
    }
}
