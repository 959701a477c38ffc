// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Tensor;
import java.util.Objects;

/**
 * What transformers do with each row (token): layer normalisation, and the Gaussian error linear unit. All implementations give the
 * same bits.
 *
 * <p>A sum over a row of {@code C} values has a fixed order: value {@code c} goes to partial sum {@code c %} {@link #SUM_LANES}, and
 * of the partial sums the upper half is added to the lower half until one is left.
 */
public interface NormKernels {
    /** The number of interleaved partial sums of a row. */
    int SUM_LANES = 16;

    /**
     * Computes rows {@code [fromRow, toRow)} of {@code y = (x - mean) / sqrt(variance + epsilon) * weight + bias} over the innermost
     * dimension, with the biased variance of {@code x - mean}.
     */
    void layerNorm(Tensor x, Tensor weight, Tensor bias, float epsilon, Tensor y, int fromRow, int toRow);

    /**
     * Computes rows {@code [fromRow, toRow)} of the gradient with respect to {@code x}.
     *
     * @param dWeightBias {@code [2, C]}: what these rows add to the gradients of weight and bias is added here, row by row
     */
    void layerNormGradient(
            Tensor x, Tensor weight, float epsilon, Tensor dy, Tensor dx, Tensor dWeightBias, int fromRow, int toRow);

    /** Computes {@code y = x P(X < x)} for a standard normal X, elementwise on a flat index range; see {@link Gelu}. */
    void gelu(Tensor x, Tensor y, int from, int to);

    /** Computes {@code dx = dy (P(X < x) + x density(x))}, elementwise on a flat index range; see {@link Gelu}. */
    void geluGradient(Tensor x, Tensor dy, Tensor dx, int from, int to);

    /**
     * Returns C.
     *
     * @throws IllegalArgumentException if the sizes do not fit together
     * @throws IndexOutOfBoundsException if {@code [fromRow, toRow)} are not rows
     */
    static int checkRows(Tensor x, Tensor weight, Tensor y, int fromRow, int toRow) {
        int columns = weight.size();
        if (x.dim(-1) != columns || y.size() != x.size()) {
            throw new IllegalArgumentException(
                    "layer norm of " + x.shape() + " with weight " + weight.shape() + " into " + y.shape());
        }
        Objects.checkFromToIndex(fromRow, toRow, columns == 0 ? 0 : x.size() / columns);
        return columns;
    }

    /** Adds up the partial sums of a row. In local variables: through the array, every level waits for its stores. */
    static float total(float[] p) {
        float s0 = p[0] + p[8];
        float s1 = p[1] + p[9];
        float s2 = p[2] + p[10];
        float s3 = p[3] + p[11];
        float s4 = p[4] + p[12];
        float s5 = p[5] + p[13];
        float s6 = p[6] + p[14];
        float s7 = p[7] + p[15];
        return ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7));
    }
}
