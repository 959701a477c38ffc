// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** fp32 matrix products of row-major matrices. Every method computes a range of rows on the calling thread. */
public interface MatmulKernels {
    /** Computes rows {@code [fromRow, toRow)} of {@code c[M, N] = a[M, K] b[K, N] + bias[N]}. */
    void matmul(Tensor a, Tensor b, @Nullable Tensor bias, Tensor c, int fromRow, int toRow);

    /** Computes rows {@code [fromRow, toRow)} of {@code c[M, N] = a^T b} with {@code a[K, M]} and {@code b[K, N]}. */
    void matmulTransposedA(Tensor a, Tensor b, Tensor c, int fromRow, int toRow);
}
