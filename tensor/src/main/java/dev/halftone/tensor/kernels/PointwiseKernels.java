// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Tensor;

/**
 * Elementwise operations and reductions on flat index ranges {@code [from, to)} of same-sized tensors, or on rows of the innermost
 * dimension where a method says so. Outputs may be the same tensor as an input.
 */
public interface PointwiseKernels {
    /** Computes {@code y = a + b}. */
    void add(Tensor a, Tensor b, Tensor y, int from, int to);

    /** Computes {@code y = a + scale * b}. */
    void addScaled(Tensor a, float scale, Tensor b, Tensor y, int from, int to);

    /** Computes {@code y = a * b}. */
    void multiply(Tensor a, Tensor b, Tensor y, int from, int to);

    /** Computes {@code y = scale * a}. */
    void scale(Tensor a, float scale, Tensor y, int from, int to);

    /** Computes {@code y = a > 0 ? a : slope * a}; slope 0 is ReLU. */
    void leakyRelu(Tensor a, float slope, Tensor y, int from, int to);

    /** Computes {@code dx = a > 0 ? dy : slope * dy} where {@code a} is the input of {@link #leakyRelu}. */
    void leakyReluGradient(Tensor a, float slope, Tensor dy, Tensor dx, int from, int to);

    /** Returns the sum of the range, accumulated in an order that depends only on the range. */
    double sum(Tensor a, int from, int to);

    /** Returns the sum of {@code |a - b|} over the range. */
    double absoluteError(Tensor a, Tensor b, int from, int to);

    /** Returns the sum of {@code (a - b)^2} over the range. */
    double squaredError(Tensor a, Tensor b, int from, int to);

    /** Returns the smallest value of the range, which must not be empty; NaN if any value is NaN. */
    float min(Tensor a, int from, int to);

    /** Returns the largest value of the range, which must not be empty; NaN if any value is NaN. */
    float max(Tensor a, int from, int to);

    /** Computes {@code sums[c] = sum over rows of a[row, c]} for columns {@code [from, to)} of {@code a} seen as {@code [rows, C]}. */
    void columnSums(Tensor a, Tensor sums, int from, int to);

    /** Computes rows {@code [fromRow, toRow)} of {@code y = a + row} with {@code row[C]} broadcast over {@code a[rows, C]}. */
    void addRow(Tensor a, Tensor row, Tensor y, int fromRow, int toRow);
}
