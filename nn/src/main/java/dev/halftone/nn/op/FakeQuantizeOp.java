// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
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

    /** Elements are visited as rows of one grid each (per tensor) or of one element per grid. */
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
        float[] x = inputs[0].array();
        int xOffset = inputs[0].offset();
        float[] y = output.array();
        int yOffset = output.offset();
        Ranges.forEach(compute, output.size(), (from, to) -> {
            if (grids.length == 1) {
                UniformGrid grid = grids[0];
                for (int i = from; i < to; i++) {
                    y[yOffset + i] = grid.level(grid.code(x[xOffset + i]));
                }
            } else {
                for (int i = from; i < to; i++) {
                    UniformGrid grid = grids[i % grids.length];
                    y[yOffset + i] = grid.level(grid.code(x[xOffset + i]));
                }
            }
        });
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        UniformGrid[] grids = grids(inputs);
        int g = grids.length;
        float[] x = inputs[0].array();
        int xOffset = inputs[0].offset();
        float[] dy = gradient.array();
        int dyOffset = gradient.offset();
        Tensor dx = Tensor.zeros(output.shape());
        // One row of sums per range, added in order afterwards, so that the result does not depend on the threads.
        int ranges = output.size() / Ranges.GRAIN + 1;
        double[][] lowerSums = new double[ranges][g];
        double[][] upperSums = new double[ranges][g];
        Ranges.forEach(compute, output.size(), (from, to) -> {
            double[] dLower = lowerSums[from / Ranges.GRAIN];
            double[] dUpper = upperSums[from / Ranges.GRAIN];
            for (int i = from; i < to; i++) {
                int c = g == 1 ? 0 : i % g;
                UniformGrid grid = grids[c];
                float v = x[xOffset + i];
                float d = dy[dyOffset + i];
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
        });
        return new @Nullable Tensor[] {
            wanted[0] ? dx : null,
            wanted[1] ? Ranges.total(lowerSums) : null,
            wanted[2] ? Ranges.total(upperSums) : null
        };
    }
}
