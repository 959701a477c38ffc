// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.format;

import dev.halftone.nn.Value;
import dev.halftone.tensor.LevelTable;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.util.Arrays;

/**
 * Rounds every value of an input to the nearest level of one table, which need not be evenly spaced. What it feeds is computed in fp32 on
 * these levels; they are not trained. A file has the levels in half precision, so that is what they are here.
 */
public record LevelQuantizer(LevelTable table) implements ActivationQuantizer {
    /**
     * Rounds the levels to half precision.
     *
     * @throws IllegalArgumentException if two levels are the same then, or one is too large
     */
    public LevelQuantizer {
        table = LevelTable.of(table.bits(), halves(table.toArray()));
    }

    private static float[] halves(float... levels) {
        Tensor all = Tensor.of(levels, levels.length);
        return Halves.of("level", all, Shape.of(levels.length)).toArray();
    }

    /**
     * Returns the quantizer of these levels, in any order; those that are the same in half precision are one.
     *
     * @param bits of a code, 1 to 8
     * @param levels at least two different ones, {@code 2^bits} of them at most
     */
    public static LevelQuantizer of(int bits, double... levels) {
        float[] all = new float[levels.length];
        for (int i = 0; i < all.length; i++) {
            all[i] = (float) levels[i];
        }
        all = halves(all);
        Arrays.sort(all);
        int count = 0;
        for (float level : all) {
            // Of two zeros the one without a sign stays; they are equal, and the negative one comes first.
            if (count > 0 && level == all[count - 1]) {
                all[count - 1] = level;
            } else {
                all[count++] = level;
            }
        }
        return new LevelQuantizer(LevelTable.of(bits, Arrays.copyOf(all, count)));
    }

    @Override
    public int bits() {
        return table.bits();
    }

    @Override
    public long storedBits() {
        return 16L * table.size();
    }

    @Override
    public Value apply(Value x) {
        return x.nearestLevel(table);
    }
}
