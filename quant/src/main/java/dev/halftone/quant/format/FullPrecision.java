// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.format;

import dev.halftone.nn.Value;

/** An input that stays as it is, in fp32, where only weights are quantized. */
public record FullPrecision() implements ActivationQuantizer {
    /** The bits of a value, and what stands for "not quantized" wherever bits of activations are given. */
    public static final int BITS = 32;

    @Override
    public int bits() {
        return BITS;
    }

    @Override
    public long storedBits() {
        return 0;
    }

    @Override
    public Value apply(Value x) {
        return x;
    }
}
