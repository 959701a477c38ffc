// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.PointwiseKernels;
import dev.halftone.tensor.kernels.PointwiseKernels.FakeQuantizeSums;
import org.jspecify.annotations.Nullable;

/**
 * Quantization and back, in float32: operands {@code x [..., C]}, {@code lower [G]} and {@code upper [G]}, where {@code G} is 1
 * (one grid for all) or {@code C} (one per channel); output the shape of {@code x}. The forward pass is {@link UniformGrid}'s
 * {@code level(code(x))}.
 *
 * <p>Gradients pass straight through the rounding (2DQuant, Liu et al. 2024, equation 2). With {@code n = 2^bits - 1},
 * {@code u = (x - lower) / scale} and {@code r = rint(u)}, for the upstream gradient {@code g}:
 *
 * <pre>{@code
 *                    dx   dlower            dupper
 * x < lower          0    g                 0
 * lower <= x <= upper  g    -g (r - u) / n    g (r - u) / n
 * x > upper          0    0                 g
 * }</pre>
 *
 * where a value equal to a bound counts for the bound like one beyond it, too.
 *
 * @param bits 1 to 8
 */
public record FakeQuantizeOp(int bits) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        Shape x = inputs[0];
        boolean fits = inputs[1].rank() == 1
                && inputs[1].equals(inputs[2])
                && (inputs[1].dim(0) == 1 || (x.rank() > 0 && inputs[1].dim(0) == x.dim(-1)));
        if (!fits) {
            throw new IllegalArgumentException("fake quantization: bounds " + inputs[1] + " and " + inputs[2]
                    + " for input " + x + " must be [1] or one per channel");
        }
        return x;
    }

    @Override
    public boolean elementwise() {
        return true;
    }

    private UniformGrid[] grids(Tensor[] inputs) {
        UniformGrid[] grids = new UniformGrid[inputs[1].size()];
        for (int i = 0; i < grids.length; i++) {
            grids[i] = new UniformGrid(bits, inputs[1].get(i), inputs[2].get(i));
        }
        return grids;
    }

    @Override
    public Reach reach(Shape... inputs) {
        return Reach.ROW;
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        UniformGrid[] grids = grids(inputs);
        Tensor x = inputs[0];
        if (grids.length == 1) {
            PointwiseKernels kernels = KernelProvider.kernels().pointwise();
            Ranges.forEach(compute, output.size(), (from, to) -> kernels.fakeQuantize(x, grids[0], output, from, to));
            return;
        }
        // Weights: few beside the activations, so that a loop per channel is worth no kernel.
        Ranges.forEach(compute, output.size(), (from, to) -> {
            for (int i = from; i < to; i++) {
                UniformGrid grid = grids[i % grids.length];
                output.array()[output.offset() + i] = grid.level(grid.code(x.array()[x.offset() + i]));
            }
        });
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        UniformGrid[] grids = grids(inputs);
        int g = grids.length;
        Tensor dx = Tensor.zeros(output.shape());
        // One row of sums per range, added in order afterwards, so that the result does not depend on the threads.
        int ranges = output.size() / Ranges.GRAIN + 1;
        double[][] lowerSums = new double[ranges][g];
        double[][] upperSums = new double[ranges][g];
        PointwiseKernels kernels = KernelProvider.kernels().pointwise();
        Ranges.forEach(compute, output.size(), (from, to) -> {
            double[] dLower = lowerSums[from / Ranges.GRAIN];
            double[] dUpper = upperSums[from / Ranges.GRAIN];
            if (g == 1) {
                FakeQuantizeSums sums = kernels.fakeQuantizeGradient(inputs[0], grids[0], gradient, dx, from, to);
                dLower[0] = sums.lower(grids[0]);
                dUpper[0] = sums.upper(grids[0]);
            } else {
                perChannel(inputs[0], grids, gradient, dx, dLower, dUpper, from, to);
            }
        });
        return new @Nullable Tensor[] {
            wanted[0] ? dx : null,
            wanted[1] ? Ranges.total(lowerSums) : null,
            wanted[2] ? Ranges.total(upperSums) : null
        };
    }

    private static void perChannel(
            Tensor x,
            UniformGrid[] grids,
            Tensor gradient,
            Tensor dx,
            double[] dLower,
            double[] dUpper,
            int from,
            int to) {
        for (int i = from; i < to; i++) {
            int c = i % grids.length;
            UniformGrid grid = grids[c];
            float v = x.array()[x.offset() + i];
            float d = gradient.array()[gradient.offset() + i];
            if (v <= grid.lower()) {
                dLower[c] += d;
            }
            if (v >= grid.upper()) {
                dUpper[c] += d;
            }
            if (v >= grid.lower() && v <= grid.upper()) {
                dx.array()[i] = d;
                float u = (v - grid.lower()) / grid.scale();
                double slope = (double) d * (grid.code(v) - u) / grid.maxCode();
                dLower[c] -= slope;
                dUpper[c] += slope;
            }
        }
    }
}
