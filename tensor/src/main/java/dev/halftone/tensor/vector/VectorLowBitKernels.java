// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.LowBitKernels;
import dev.halftone.tensor.kernels.PackedConv;
import dev.halftone.tensor.kernels.QuantizedConvWeight;
import dev.halftone.tensor.kernels.ScalarKernels;

/**
 * Chooses how a quantized convolution runs: by table look-up where weights and activations have at most 3 bits and a byte shuffle
 * reaches 64 entries, otherwise with the codes as exact floats, at the speed of the fp32 kernel.
 */
final class VectorLowBitKernels implements LowBitKernels {
    @Override
    public PackedConv prepare(QuantizedConvWeight weight, UniformGrid activation) {
        if (TableConv.supports(weight, activation)) {
            return new TableConv(weight, activation);
        }
        if (FloatCodeConv.supports(weight, activation)) {
            return new FloatCodeConv(weight, activation);
        }
        return new ScalarKernels().lowBit().prepare(weight, activation);
    }
}
