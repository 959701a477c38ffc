// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

/**
 * The kernels in plain Java. They are the specification: the shortest correct code, against which the vector kernels are tested,
 * and the fallback where the Vector API cannot run.
 */
public final class ScalarKernels implements Kernels {
    private final ConvKernels conv = new ScalarConvKernels();
    private final MatmulKernels matmul = new ScalarMatmulKernels();
    private final PointwiseKernels pointwise = new ScalarPointwiseKernels();
    private final NormKernels norm = new ScalarNormKernels();
    private final AttentionKernels attention = new ScalarAttentionKernels();
    private final LowBitKernels lowBit = new ScalarLowBitKernels();

    @Override
    public String name() {
        return "scalar";
    }

    @Override
    public int vectorBits() {
        return Float.SIZE;
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
