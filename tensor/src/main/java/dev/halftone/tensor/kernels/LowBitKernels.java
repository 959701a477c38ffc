// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.UniformGrid;

/** Convolutions that run on low-bit codes with integer arithmetic. */
public interface LowBitKernels {
    /**
     * Returns a convolution that is ready to run: the weight codes in the order in which this implementation's loops want them.
     *
     * @param weight the weight codes and what they stand for
     * @param activation the grid on which the inputs are quantized
     * @throws IllegalArgumentException if sums of code products can exceed 2^31 - 1 or the affine coefficients float32
     */
    PackedConv prepare(QuantizedConvWeight weight, UniformGrid activation);
}
