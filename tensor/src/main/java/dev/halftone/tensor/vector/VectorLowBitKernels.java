// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.LowBitKernels;
import dev.halftone.tensor.kernels.PackedConv;
import dev.halftone.tensor.kernels.QuantizedConvWeight;
import dev.halftone.tensor.kernels.ScalarKernels;

/**
 * Chooses how a quantized convolution runs: 1-bit codes by counting bits, others by table look-up where a table suits the code widths and the width of the vectors,
 * otherwise with the codes as exact floats, at the speed of the fp32 kernel.
 */
final class VectorLowBitKernels implements LowBitKernels {
    @Override
    public PackedConv prepare(QuantizedConvWeight weight, UniformGrid activation) {
        if (BinaryConv.supports(weight, activation)) {
            return new BinaryConv(weight, activation);
        }
        LookupTable table = LookupTable.of(weight.codes().bits(), activation.bits());
        if (table != null) {
            return new TableConv(weight, activation, table);
        }
        if (FloatCodeConv.supports(weight, activation)) {
            return new FloatCodeConv(weight, activation);
        }
        return new ScalarKernels().lowBit().prepare(weight, activation);
    }
}
