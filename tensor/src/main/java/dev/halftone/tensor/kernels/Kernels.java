// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

/** One implementation of every kernel family; {@link KernelProvider} chooses it once. Implementations are stateless. */
public interface Kernels {
    /** Returns {@code scalar} or {@code vector}. */
    String name();

    /** Returns the width of the vectors in bits; 32 for the scalar kernels. */
    int vectorBits();

    /** Returns the fp32 convolutions. */
    ConvKernels conv();

    /** Returns the fp32 matrix products. */
    MatmulKernels matmul();

    /** Returns the elementwise operations and reductions. */
    PointwiseKernels pointwise();

    /** Returns layer normalisation and GELU. */
    NormKernels norm();

    /** Returns the attention inside windows. */
    AttentionKernels attention();

    /** Returns the convolutions on low-bit codes. */
    LowBitKernels lowBit();
}
