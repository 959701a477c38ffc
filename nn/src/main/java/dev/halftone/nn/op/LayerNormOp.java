// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.NormKernels;
import org.jspecify.annotations.Nullable;

/**
 * Layer normalisation (Ba et al. 2016) over the innermost dimension: operands {@code x [..., C]}, {@code weight [C]} and
 * {@code bias [C]}; each row becomes {@code (x - mean) / sqrt(variance + epsilon) * weight + bias} with the biased variance.
 */
public record LayerNormOp(float epsilon) implements Op {
    /**
     * Rows whose weight gradients are summed as one, so that the order of the sum does not depend on the threads, and few enough for
     * sums in single precision; 64 rows of 60 values are in L1.
     */
    private static final int BLOCK = 64;

    @Override
    public Shape outputShape(Shape... inputs) {
        Shape x = inputs[0];
        if (x.rank() == 0 || !inputs[1].equals(Shape.of(x.dim(-1))) || !inputs[2].equals(inputs[1])) {
            throw new IllegalArgumentException(
                    "layer norm: weight " + inputs[1] + " and bias " + inputs[2] + " do not fit input " + x);
        }
        return x;
    }

    @Override
    public Reach reach(Shape... inputs) {
        return Reach.ROW;
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        NormKernels kernels = KernelProvider.kernels().norm();
        compute.forEachRange(
                rows(inputs),
                BLOCK,
                (from, to) -> kernels.layerNorm(inputs[0], inputs[1], inputs[2], epsilon, output, from, to));
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        NormKernels kernels = KernelProvider.kernels().norm();
        int channels = inputs[1].size();
        int blocks = Math.ceilDiv(rows(inputs), BLOCK);
        Tensor sums = Tensor.zeros(blocks, 2, channels);
        Tensor dx = Tensor.zeros(inputs[0].shape());
        compute.forEachRange(
                rows(inputs),
                BLOCK,
                (from, to) -> kernels.layerNormGradient(
                        inputs[0], inputs[1], epsilon, gradient, dx, sums.slice(from / BLOCK), from, to));
        Tensor total = AddOp.columnSums(compute, sums.reshape(blocks, 2 * channels), Shape.of(2, channels));
        return new @Nullable Tensor[] {
            wanted[0] ? dx : null, wanted[1] ? total.slice(0) : null, wanted[2] ? total.slice(1) : null
        };
    }

    private static int rows(Tensor[] inputs) {
        return inputs[0].size() / Math.max(1, inputs[1].size());
    }
}
