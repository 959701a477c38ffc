// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.format.ChannelGroups;
import dev.halftone.quant.format.Codebook;
import dev.halftone.tensor.Tensor;

/**
 * Rounds weights to the nearest of the evenly spaced levels between the smallest and the largest weight of their group: some inputs of an
 * output ({@link ChannelGroups}). It needs no data.
 *
 * @param inputs of a group at most, channels times taps
 */
public record RoundGroups(int inputs) implements Pass {
    /** Checks the range. */
    public RoundGroups {
        if (inputs < 1) {
            throw new IllegalArgumentException("a group has at least 1 input, not " + inputs);
        }
    }

    @Override
    public String id() {
        return "round-groups(" + inputs + " inputs)";
    }

    @Override
    public void apply(Quantization run) {
        run.storeWeights((weight, _) -> {
            Tensor w = weight.values();
            return Codebook.minMax(w, w, weight.bits(), ChannelGroups.of(w.shape(), inputs));
        });
    }
}
