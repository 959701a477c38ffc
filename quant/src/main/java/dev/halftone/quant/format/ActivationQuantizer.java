// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.format;

import dev.halftone.nn.Value;

/** How an input of a layer is quantized. */
public sealed interface ActivationQuantizer
        permits UniformQuantizer, LevelQuantizer, NormalizedQuantizer, FullPrecision {
    /** Returns the bits per code, 1 to 8, or {@link FullPrecision#BITS}. */
    int bits();

    /** Returns the bits that its bounds and whatever else it needs take in a file. */
    long storedBits();

    /** Returns whether packed kernels take its codes; else a layer computes in fp32 on the levels. */
    default boolean runsPacked() {
        return false;
    }

    /** Returns every value replaced by the level of its code; gradients pass straight through to {@code x} alone. */
    Value apply(Value x);
}
