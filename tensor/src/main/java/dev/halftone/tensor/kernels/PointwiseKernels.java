// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.LevelTable;
import dev.halftone.tensor.Levels;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.Objects;

/**
 * Elementwise operations and reductions on flat index ranges {@code [from, to)} of same-sized tensors, or on rows of the innermost
 * dimension where a method says so. Outputs may be the same tensor as an input. All implementations give the same bits.
 *
 * <p>{@link #sum}, {@link #absoluteError} and {@link #squaredError} widen every value to double and add in one fixed order: the range is cut at the multiples of {@link #SUM_BLOCK}; within a block, the i-th value goes to partial sum {@code i %}
 * {@link #SUM_LANES}; the partial sums are added in order to the sum of the block, and the sums of the blocks, in order, to 0. So
 * a caller may compute the blocks on any number of threads, one call per block: adding these results in order gives the bits of
 * one call over everything.
 */
public interface PointwiseKernels {
    /** The number of values that the fixed order of a sum treats as a unit. */
    int SUM_BLOCK = 4096;

    /** The number of interleaved partial sums within a block. */
    int SUM_LANES = 16;

    /** Computes {@code y = a + b}. */
    void add(Tensor a, Tensor b, Tensor y, int from, int to);

    /** Computes {@code y = a + scale * b} with one rounding. */
    void addScaled(Tensor a, float scale, Tensor b, Tensor y, int from, int to);

    /** Computes {@code y = a * b}. */
    void multiply(Tensor a, Tensor b, Tensor y, int from, int to);

    /** Computes {@code y = scale * a}. */
    void scale(Tensor a, float scale, Tensor y, int from, int to);

    /** Computes {@code y = a > 0 ? a : slope * a}; slope 0 is ReLU, {@code max(a, 0)}, which never gives -0 and keeps NaN. */
    void leakyRelu(Tensor a, float slope, Tensor y, int from, int to);

    /**
     * Computes {@code dx = a > 0 ? dy : slope * dy} where {@code a} is the input of {@link #leakyRelu} (for slopes of at least 0
     * its output serves as well); slope 0 gives exactly 0 whatever {@code dy} is.
     */
    void leakyReluGradient(Tensor a, float slope, Tensor dy, Tensor dx, int from, int to);

    /** Returns the sum of the range. */
    double sum(Tensor a, int from, int to);

    /** Returns the sum of {@code |a - b|} over the range. */
    double absoluteError(Tensor a, Tensor b, int from, int to);

    /** Returns the sum of {@code (a - b)^2} over the range. */
    double squaredError(Tensor a, Tensor b, int from, int to);

    /** Computes {@code y = levels.level(levels.code(x))}. */
    void fakeQuantize(Tensor x, Levels levels, Tensor y, int from, int to);

    /**
     * Computes {@code dx = lower <= x && x <= upper ? dy : 0} and, in the fixed order of sums, what the bounds' gradients are made of;
     * their partial sums are float32, of 256 values each.
     */
    FakeQuantizeSums fakeQuantizeGradient(Tensor x, UniformGrid grid, Tensor dy, Tensor dx, int from, int to);

    /**
     * Three sums over a range, with {@code u = (x - lower) / scale} in float32.
     *
     * @param below of {@code dy} where {@code x <= lower}
     * @param above of {@code dy} where {@code x >= upper}
     * @param rounding of {@code dy * (code(x) - u)} where {@code lower <= x <= upper}
     */
    record FakeQuantizeSums(double below, double above, double rounding) {
        /** Returns the gradient of the lower bound (2DQuant, Liu et al. 2024, equation 2). */
        public double lower(UniformGrid grid) {
            return below - rounding / grid.maxCode();
        }

        /** Returns the gradient of the upper bound. */
        public double upper(UniformGrid grid) {
            return above + rounding / grid.maxCode();
        }

        /** Adds both gradients to row {@code row} of {@code bounds [.., 2]}. */
        public void addTo(Tensor bounds, int row, UniformGrid grid) {
            int at = bounds.offset() + 2 * row;
            bounds.array()[at] += (float) lower(grid);
            bounds.array()[at + 1] += (float) upper(grid);
        }
    }

    /** Returns the smallest value of the range, which must not be empty; NaN if any value is NaN. */
    float min(Tensor a, int from, int to);

    /** Returns the largest value of the range, which must not be empty; NaN if any value is NaN. */
    float max(Tensor a, int from, int to);

    /**
     * Computes {@code sums[c] = sum over rows of a[row, c]} for columns {@code [from, to)} of {@code a} seen as {@code [rows, C]},
     * accumulated in double, rows in order.
     */
    void columnSums(Tensor a, Tensor sums, int from, int to);

    /** Computes rows {@code [fromRow, toRow)} of {@code y = a + row} with {@code row[C]} broadcast over {@code a[rows, C]}. */
    void addRow(Tensor a, Tensor row, Tensor y, int fromRow, int toRow);

    /** Returns the grid whose range has the gradient of {@code x} for these levels in {@link #fakeQuantizeGradient}. */
    static UniformGrid range(Levels levels) {
        return switch (levels) {
            case UniformGrid grid -> grid;
            case LevelTable table -> new UniformGrid(1, table.lower(), table.upper());
        };
    }

    /** Returns the end of the sum block that {@code start} lies in, at most {@code to}. */
    static int blockEnd(int start, int to) {
        return (int) Math.min(to, (start / SUM_BLOCK + 1L) * SUM_BLOCK);
    }

    /**
     * Checks that {@code [from, to)} lies within every tensor and that all have the same size.
     *
     * @throws IllegalArgumentException if the sizes differ
     * @throws IndexOutOfBoundsException if the range is outside
     */
    static void checkRange(int from, int to, Tensor first, Tensor... others) {
        for (Tensor t : others) {
            if (t.size() != first.size()) {
                throw new IllegalArgumentException("elementwise operation on " + first.shape() + " and " + t.shape());
            }
        }
        Objects.checkFromToIndex(from, to, first.size());
    }

    /**
     * Checks that {@code [from, to)} is a range of the tensor with at least one value.
     *
     * @throws IndexOutOfBoundsException if it is not
     */
    static void checkNotEmpty(int from, int to, Tensor a) {
        Objects.checkFromToIndex(from, to, a.size());
        if (from == to) {
            throw new IndexOutOfBoundsException("no smallest or largest value in the empty range at " + from);
        }
    }

    /**
     * Returns the number of columns of {@code a} seen as {@code [rows, C]}.
     *
     * @throws IllegalArgumentException if {@code row} does not have C values
     */
    static int checkColumns(Tensor a, Tensor row) {
        if (a.dim(-1) != row.size()) {
            throw new IllegalArgumentException("row " + row.shape() + " for " + a.shape());
        }
        return row.size();
    }
}
