// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

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
            return minMax(w, w, weight.bits(), ChannelGroups.of(w.shape(), inputs));
        });
    }

    /** Returns a weight on the min-max grids of {@code ranges}, a weight of the same shape. */
    static Codebook minMax(Tensor weight, Tensor ranges, int bits, ChannelGroups groups) {
        int out = weight.dim(-1);
        Tensor low = Tensor.zeros(groups.count(), out).fill(Float.POSITIVE_INFINITY);
        Tensor high = Tensor.zeros(groups.count(), out).fill(Float.NEGATIVE_INFINITY);
        for (int i = 0; i < ranges.size(); i++) {
            int at = groups.ofRow(i / out) * out + i % out;
            float v = ranges.array()[ranges.offset() + i];
            low.array()[at] = Math.min(low.array()[at], v);
            high.array()[at] = Math.max(high.array()[at], v);
        }
        Tensor scale = Tensor.zeros(groups.count(), out);
        for (int i = 0; i < scale.size(); i++) {
            scale.array()[i] = (high.array()[i] - low.array()[i]) / ((1 << bits) - 1);
        }
        return Codebook.nearest(weight, Codebook.uniformLevels(bits), scale, low);
    }
}
