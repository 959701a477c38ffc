// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.quant.format.ActivationQuantizer;
import dev.halftone.quant.format.WeightFormat;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** A convolution or linear layer whose weight is quantized, and maybe its input: what a quantized-model file keeps. */
public sealed interface QuantizedLayer permits QuantizedConv2d, IntegerConv2d, DequantizedLayer {
    /** Returns the weight as it is stored. */
    WeightFormat stored();

    /** Returns how the input is quantized. */
    ActivationQuantizer input();

    /** Returns the bias {@code [out]}, or null. */
    @Nullable
    Tensor bias();

    /** Returns the bits that the weight, and the bounds and the normalisation of the input take in a file; the bias is not quantized. */
    default long storedBits() {
        return stored().storedBits() + input().storedBits();
    }
}
