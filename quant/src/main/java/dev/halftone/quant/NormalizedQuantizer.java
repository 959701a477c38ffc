// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.Value;
import dev.halftone.tensor.kernels.ChannelNormalization;

/**
 * Quantization of every channel on a grid of its own: channels are normalised, quantized on one grid, and brought back. The weight behind it
 * stands for the normalised input, see {@link ChannelNormalization}.
 *
 * @param normalization of the channels, the innermost dimension
 * @param normalized what quantizes them then, per tensor
 */
public record NormalizedQuantizer(ChannelNormalization normalization, UniformQuantizer normalized)
        implements ActivationQuantizer {
    @Override
    public int bits() {
        return normalized.bits();
    }

    @Override
    public Value apply(Value x) {
        Value offset = x.graph().constant(normalization.offset());
        Value gain = x.graph().constant(normalization.gain());
        Value y = normalized.apply(x.addScaled(-1, offset).scaleChannels(-1, gain));
        return y.divideChannels(-1, gain).add(offset);
    }
}
