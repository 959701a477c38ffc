// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.Value;

/** How an input of a layer is quantized. */
public sealed interface ActivationQuantizer permits UniformQuantizer, NormalizedQuantizer {
    /** Returns the bits per code, 1 to 8. */
    int bits();

    /** Returns every value replaced by the level of its code; gradients pass straight through to {@code x} alone. */
    Value apply(Value x);
}
