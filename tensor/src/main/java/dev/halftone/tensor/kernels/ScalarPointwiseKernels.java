// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Levels;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.Objects;

/** The elementwise operations and reductions as their interface defines them. */
final class ScalarPointwiseKernels implements PointwiseKernels {
    @FunctionalInterface
    private interface Term {
        double of(float a, float b);
    }

    @Override
    public void add(Tensor a, Tensor b, Tensor y, int from, int to) {
        PointwiseKernels.checkRange(from, to, a, b, y);
        for (int i = from; i < to; i++) {
            y.array()[y.offset() + i] = a.array()[a.offset() + i] + b.array()[b.offset() + i];
        }
    }

    @Override
    public void addScaled(Tensor a, float scale, Tensor b, Tensor y, int from, int to) {
        PointwiseKernels.checkRange(from, to, a, b, y);
        for (int i = from; i < to; i++) {
            y.array()[y.offset() + i] = Math.fma(scale, b.array()[b.offset() + i], a.array()[a.offset() + i]);
        }
    }

    @Override
    public void multiply(Tensor a, Tensor b, Tensor y, int from, int to) {
        PointwiseKernels.checkRange(from, to, a, b, y);
        for (int i = from; i < to; i++) {
            y.array()[y.offset() + i] = a.array()[a.offset() + i] * b.array()[b.offset() + i];
        }
    }

    @Override
    public void scale(Tensor a, float scale, Tensor y, int from, int to) {
        PointwiseKernels.checkRange(from, to, a, y);
        for (int i = from; i < to; i++) {
            y.array()[y.offset() + i] = scale * a.array()[a.offset() + i];
        }
    }

    @Override
    public void leakyRelu(Tensor a, float slope, Tensor y, int from, int to) {
        PointwiseKernels.checkRange(from, to, a, y);
        for (int i = from; i < to; i++) {
            float v = a.array()[a.offset() + i];
            y.array()[y.offset() + i] = slope == 0 ? Math.max(v, 0f) : v > 0 ? v : slope * v;
        }
    }

    @Override
    public void leakyReluGradient(Tensor a, float slope, Tensor dy, Tensor dx, int from, int to) {
        PointwiseKernels.checkRange(from, to, a, dy, dx);
        for (int i = from; i < to; i++) {
            float v = dy.array()[dy.offset() + i];
            dx.array()[dx.offset() + i] = a.array()[a.offset() + i] > 0 ? v : slope == 0 ? 0f : slope * v;
        }
    }

    @Override
    public double sum(Tensor a, int from, int to) {
        return reduce(a, a, from, to, (u, v) -> u);
    }

    @Override
    public double absoluteError(Tensor a, Tensor b, int from, int to) {
        return reduce(a, b, from, to, (u, v) -> Math.abs((double) u - v));
    }

    @Override
    public double squaredError(Tensor a, Tensor b, int from, int to) {
        return reduce(a, b, from, to, (u, v) -> ((double) u - v) * ((double) u - v));
    }

    private static double reduce(Tensor a, Tensor b, int from, int to, Term term) {
        PointwiseKernels.checkRange(from, to, a, b);
        double sum = 0;
        for (int start = from; start < to; start = PointwiseKernels.blockEnd(start, to)) {
            double[] lanes = new double[SUM_LANES];
            for (int i = start; i < PointwiseKernels.blockEnd(start, to); i++) {
                lanes[(i - start) % SUM_LANES] += term.of(a.array()[a.offset() + i], b.array()[b.offset() + i]);
            }
            double block = 0;
            for (double lane : lanes) {
                block += lane;
            }
            sum += block;
        }
        return sum;
    }

    @Override
    public void fakeQuantize(Tensor x, Levels levels, Tensor y, int from, int to) {
        PointwiseKernels.checkRange(from, to, x, y);
        for (int i = from; i < to; i++) {
            y.array()[y.offset() + i] = levels.level(levels.code(x.array()[x.offset() + i]));
        }
    }

    @Override
    public FakeQuantizeSums fakeQuantizeGradient(Tensor x, UniformGrid grid, Tensor dy, Tensor dx, int from, int to) {
        PointwiseKernels.checkRange(from, to, x, dy, dx);
        double below = 0;
        double above = 0;
        double rounding = 0;
        for (int start = from; start < to; start = PointwiseKernels.blockEnd(start, to)) {
            float[][] lanes = new float[3][SUM_LANES];
            for (int i = start; i < PointwiseKernels.blockEnd(start, to); i++) {
                float v = x.array()[x.offset() + i];
                float d = dy.array()[dy.offset() + i];
                int lane = (i - start) % SUM_LANES;
                lanes[0][lane] += v <= grid.lower() ? d : 0;
                lanes[1][lane] += v >= grid.upper() ? d : 0;
                lanes[2][lane] += inside(v, grid) ? d * roundingError(v, grid) : 0;
                dx.array()[dx.offset() + i] = inside(v, grid) ? d : 0;
            }
            below += total(lanes[0]);
            above += total(lanes[1]);
            rounding += total(lanes[2]);
        }
        return new FakeQuantizeSums(below, above, rounding);
    }

    private static double total(float[] lanes) {
        double total = 0;
        for (float lane : lanes) {
            total += lane;
        }
        return total;
    }

    private static boolean inside(float v, UniformGrid grid) {
        return v >= grid.lower() && v <= grid.upper();
    }

    private static float roundingError(float v, UniformGrid grid) {
        return grid.code(v) - (v - grid.lower()) / grid.scale();
    }

    @Override
    public float min(Tensor a, int from, int to) {
        PointwiseKernels.checkNotEmpty(from, to, a);
        float min = Float.POSITIVE_INFINITY;
        for (int i = from; i < to; i++) {
            min = Math.min(min, a.array()[a.offset() + i]);
        }
        return min;
    }

    @Override
    public float max(Tensor a, int from, int to) {
        PointwiseKernels.checkNotEmpty(from, to, a);
        float max = Float.NEGATIVE_INFINITY;
        for (int i = from; i < to; i++) {
            max = Math.max(max, a.array()[a.offset() + i]);
        }
        return max;
    }

    @Override
    public void columnSums(Tensor a, Tensor sums, int from, int to) {
        int columns = PointwiseKernels.checkColumns(a, sums);
        Objects.checkFromToIndex(from, to, columns);
        double[] total = new double[to - from];
        for (int row = 0; row < a.size(); row += columns) {
            for (int c = from; c < to; c++) {
                total[c - from] += a.array()[a.offset() + row + c];
            }
        }
        for (int c = from; c < to; c++) {
            sums.array()[sums.offset() + c] = (float) total[c - from];
        }
    }

    @Override
    public void addRow(Tensor a, Tensor row, Tensor y, int fromRow, int toRow) {
        int columns = PointwiseKernels.checkColumns(a, row);
        PointwiseKernels.checkRange(fromRow * columns, toRow * columns, a, y);
        for (int r = fromRow; r < toRow; r++) {
            for (int c = 0; c < columns; c++) {
                int i = r * columns + c;
                y.array()[y.offset() + i] = a.array()[a.offset() + i] + row.array()[row.offset() + c];
            }
        }
    }
}
