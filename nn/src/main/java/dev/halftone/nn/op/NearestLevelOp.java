// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.LevelTable;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.PointwiseKernels;
import org.jspecify.annotations.Nullable;

/**
 * Every value replaced by the level of its code in a table. Gradients pass straight through the rounding; they are 0 beyond the lowest and
 * the highest level.
 */
public record NearestLevelOp(LevelTable table) implements Op {
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
        Ranges.forEach(compute, output.size(), (from, to) -> kernels.fakeQuantize(inputs[0], table, output, from, to));
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        PointwiseKernels kernels = KernelProvider.kernels().pointwise();
        UniformGrid range = PointwiseKernels.range(table);
        Tensor dx = Tensor.zeros(output.shape());
        Ranges.forEach(
                compute,
                output.size(),
                (from, to) -> kernels.fakeQuantizeGradient(inputs[0], range, gradient, dx, from, to));
        return new @Nullable Tensor[] {dx};
    }
}
