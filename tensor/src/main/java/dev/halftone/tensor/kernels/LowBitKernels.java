// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.UniformGrid;
import java.util.List;

/** Convolutions that run on low-bit codes with integer arithmetic. A matrix product is a 1x1 convolution over its rows. */
public interface LowBitKernels {
    /**
     * Returns a convolution that is ready to run: the weight codes in the order in which this implementation's loops want them. It
     * runs in the way that is fastest by {@link #rates} and by how well its vectors are filled with output channels.
     *
     * @param weight the weight codes and what they stand for
     * @param activation the grid on which the inputs are quantized
     * @throws IllegalArgumentException if sums of code products can exceed 2^31 - 1 or the affine coefficients float32
     */
    PackedConv prepare(QuantizedConvWeight weight, UniformGrid activation);

    /**
     * Returns a convolution that runs in a given way.
     *
     * @throws IllegalArgumentException also if it cannot
     */
    PackedConv prepare(QuantizedConvWeight weight, UniformGrid activation, CodePath path);

    /** Returns the ways for codes of these widths, the fastest first, with their recorded rates; the last is the scalar one. */
    List<CodeRate> rates(int weightBits, int activationBits);

    /**
     * Adds products of codes and rows of weights to sums, {@code sums[to + o] += codes[at + i] * weight[from + i * outputs + o]} for
     * {@code i < count} and {@code o < outputs}, in 32 bits.
     */
    void addProducts(short[] codes, int at, int count, int[] weight, int from, int outputs, int[] sums, int to);
}
