// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.format;

import dev.halftone.tensor.Shape;

/**
 * The inputs of a weight in groups of consecutive channels with all their taps, as many in each.
 *
 * @param in input channels
 * @param count of groups
 */
public record ChannelGroups(int in, int count) {
    /** Checks that channels can be shared out. */
    public ChannelGroups {
        if (count < 1 || count > in || in % count != 0) {
            throw new IllegalArgumentException(count + " groups of " + in + " input channels");
        }
    }

    /** Returns one group of all channels of a weight {@code [..., in, out]}. */
    public static ChannelGroups one(Shape weight) {
        return new ChannelGroups(weight.dim(-2), 1);
    }

    /** Returns groups of a weight, as large as possible, of at most so many inputs (channels times taps), but of a channel at least. */
    public static ChannelGroups of(Shape weight, int inputs) {
        int in = weight.dim(-2);
        int taps = weight.size() / in / weight.dim(-1);
        int channels = Math.clamp(inputs / taps, 1, in);
        while (in % channels != 0) {
            channels--;
        }
        return new ChannelGroups(in, in / channels);
    }

    /** Returns the channels of a group. */
    int channels() {
        return in / count;
    }

    /** Returns the group of row {@code row} of a weight as a matrix, whose rows are channels within taps. */
    public int ofRow(int row) {
        return row % in / channels();
    }
}
