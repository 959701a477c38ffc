// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.format;

import dev.halftone.nn.Value;
import dev.halftone.tensor.kernels.ChannelNormalization;

/**
 * Quantization of every channel on a grid of its own: channels are normalised, quantized on one grid, and brought back. The weight behind it
 * stands for the normalised input, see {@link ChannelNormalization}. Where the input stays fp32, only the gains matter, and only to
 * that weight.
 *
 * @param normalization of the channels, the innermost dimension
 * @param normalized what quantizes them then: per tensor, or not at all
 */
public record NormalizedQuantizer(ChannelNormalization normalization, ActivationQuantizer normalized)
        implements ActivationQuantizer {
    /** Checks that channels are normalised once. */
    public NormalizedQuantizer {
        if (normalized instanceof NormalizedQuantizer) {
            throw new IllegalArgumentException("a normalised input is quantized twice by " + normalized);
        }
    }

    @Override
    public int bits() {
        return normalized.bits();
    }

    @Override
    public long storedBits() {
        long perChannel = normalized instanceof FullPrecision ? Float.SIZE : 2 * Float.SIZE;
        return perChannel * normalization.channels() + normalized.storedBits();
    }

    @Override
    public boolean runsPacked() {
        return normalized.runsPacked();
    }

    @Override
    public Value apply(Value x) {
        if (normalized instanceof FullPrecision) {
            return x;
        }
        Value offset = x.graph().constant(normalization.offset());
        Value gain = x.graph().constant(normalization.gain());
        Value y = normalized.apply(x.addScaled(-1, offset).scaleChannels(-1, gain));
        return y.divideChannels(-1, gain).add(offset);
    }
}
