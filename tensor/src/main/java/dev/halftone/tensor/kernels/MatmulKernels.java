// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * fp32 matrix products of row-major matrices; see {@link MatmulShape} for tensors of higher rank. Every method computes a range
 * of rows on the calling thread, and the result does not depend on how the rows are split into ranges. All implementations give
 * the same bits.
 */
public interface MatmulKernels {
    /** The length of the partial sums of {@link #matmulTransposedA}. */
    int SUM_BLOCK = 256;

    /**
     * Computes rows {@code [fromRow, toRow)} of {@code c[M, N] = a[M, K] b[K, N] + bias[N]}. Each value is one chain of fused
     * multiply-adds that starts at the bias (or 0) and runs over k.
     */
    void matmul(Tensor a, Tensor b, @Nullable Tensor bias, Tensor c, int fromRow, int toRow);

    /**
     * Computes rows {@code [fromRow, toRow)} of {@code c[M, N] = a^T b} with {@code a[K, M]} and {@code b[K, N]}, the weight
     * gradient of a linear layer. K is long there, so the sum is blocked: each {@link #SUM_BLOCK} consecutive k are one chain of
     * fused multiply-adds from 0, and these partial sums are added in order.
     */
    void matmulTransposedA(Tensor a, Tensor b, Tensor c, int fromRow, int toRow);

    /**
     * Adds rows {@code [fromRow, toRow)} of {@code a^T b}, computed as {@link #matmulTransposedA} does, to {@code c}: partial sum by
     * partial sum.
     */
    void addTransposedA(Tensor a, Tensor b, Tensor c, int fromRow, int toRow);
}
