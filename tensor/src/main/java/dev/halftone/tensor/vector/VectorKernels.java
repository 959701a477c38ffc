// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.kernels.AttentionKernels;
import dev.halftone.tensor.kernels.ConvKernels;
import dev.halftone.tensor.kernels.Kernels;
import dev.halftone.tensor.kernels.LowBitKernels;
import dev.halftone.tensor.kernels.MatmulKernels;
import dev.halftone.tensor.kernels.NormKernels;
import dev.halftone.tensor.kernels.PointwiseKernels;

/** The kernels on the JDK Vector API, at the platform's preferred width. */
public final class VectorKernels implements Kernels {
    private final ConvKernels conv = new VectorConvKernels();
    private final MatmulKernels matmul = new VectorMatmulKernels();
    private final PointwiseKernels pointwise = new VectorPointwiseKernels();
    private final NormKernels norm = new VectorNormKernels();
    private final AttentionKernels attention = new VectorAttentionKernels();
    private final LowBitKernels lowBit = new VectorLowBitKernels();

    /** Creates the kernels. */
    public VectorKernels() {}

    @Override
    public String name() {
        return "vector";
    }

    @Override
    public int vectorBits() {
        return Panels.SPECIES.vectorBitSize();
    }

    @Override
    public ConvKernels conv() {
        return conv;
    }

    @Override
    public MatmulKernels matmul() {
        return matmul;
    }

    @Override
    public PointwiseKernels pointwise() {
        return pointwise;
    }

    @Override
    public NormKernels norm() {
        return norm;
    }

    @Override
    public AttentionKernels attention() {
        return attention;
    }

    @Override
    public LowBitKernels lowBit() {
        return lowBit;
    }
}
