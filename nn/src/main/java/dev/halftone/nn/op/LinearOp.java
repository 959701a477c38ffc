// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.MatmulKernels;
import org.jspecify.annotations.Nullable;

/**
 * A linear layer: operands {@code x [..., in]}, {@code weight [in, out]} and optionally {@code bias [out]}; output
 * {@code x weight + bias [..., out]}.
 */
public record LinearOp() implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        Shape x = inputs[0];
        Shape weight = inputs[1];
        if (x.rank() == 0 || weight.rank() != 2 || x.dim(-1) != weight.dim(0)) {
            throw new IllegalArgumentException("linear: input " + x + " does not fit weight " + weight + " (in, out)");
        }
        if (inputs.length > 2 && !inputs[2].equals(Shape.of(weight.dim(1)))) {
            throw new IllegalArgumentException("linear: bias " + inputs[2] + " for " + weight.dim(1) + " outputs");
        }
        return x.with(-1, weight.dim(1));
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        MatmulKernels kernels = KernelProvider.kernels().matmul();
        Tensor x = matrix(inputs[0]);
        Tensor y = matrix(output);
        Tensor bias = inputs.length > 2 ? inputs[2] : null;
        compute.forEachRange(y.dim(0), (from, to) -> kernels.matmul(x, inputs[1], bias, y, from, to));
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        MatmulKernels kernels = KernelProvider.kernels().matmul();
        Tensor x = matrix(inputs[0]);
        Tensor dy = matrix(gradient);
        @Nullable Tensor[] result = new @Nullable Tensor[inputs.length];
        if (wanted[0]) {
            Tensor transposed = inputs[1].permute(1, 0);
            Tensor dx = Tensor.zeros(x.shape());
            compute.forEachRange(dx.dim(0), (from, to) -> kernels.matmul(dy, transposed, null, dx, from, to));
            result[0] = dx.reshape(inputs[0].shape());
        }
        if (wanted[1]) {
            Tensor dw = Tensor.zeros(inputs[1].shape());
            compute.forEachRange(dw.dim(0), (from, to) -> kernels.matmulTransposedA(x, dy, dw, from, to));
            result[1] = dw;
        }
        if (inputs.length > 2 && wanted[2]) {
            result[2] = AddOp.columnSums(compute, dy, inputs[2].shape());
        }
        return result;
    }

    /** Returns the view as rows of the innermost dimension. */
    private static Tensor matrix(Tensor t) {
        int columns = t.dim(-1);
        return t.reshape(columns == 0 ? 0 : t.size() / columns, columns);
    }
}
