// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor;

import java.util.Arrays;

/**
 * Levels at any distances, for quantization that is not uniform. There may be fewer than {@code 2^bits}: two codes can stand for the same
 * number, as those of +0 and -0 do.
 *
 * <p>A value's code is the number of {@link #steps} that it reaches: halves of the way between neighbours, rounded to float32.
 */
public final class LevelTable implements Levels {
    private final int bits;
    private final float[] levels;
    private final float[] steps;

    private LevelTable(int bits, float[] levels) {
        this.bits = bits;
        this.levels = levels;
        steps = new float[levels.length - 1];
        for (int i = 0; i < steps.length; i++) {
            float middle = (float) (((double) levels[i] + levels[i + 1]) / 2);
            steps[i] = Math.max(middle, Math.nextUp(levels[i]));
        }
    }

    /**
     * Returns a table.
     *
     * @param bits of a code, 1 to 8
     * @param levels 2 to {@code 2^bits} finite numbers, each above the one before it
     */
    public static LevelTable of(int bits, float... levels) {
        if (bits < 1 || bits > 8) {
            throw new IllegalArgumentException("bits per code must be 1 to 8, not " + bits);
        }
        if (levels.length < 2 || levels.length > 1 << bits) {
            throw new IllegalArgumentException(
                    levels.length + " levels for codes of " + bits + " bits, which have 2 to " + (1 << bits));
        }
        for (int i = 0; i < levels.length; i++) {
            if (!Float.isFinite(levels[i]) || (i > 0 && !(levels[i - 1] < levels[i]))) {
                throw new IllegalArgumentException(
                        "levels that are not finite numbers in ascending order: " + Arrays.toString(levels));
            }
        }
        return new LevelTable(bits, levels.clone());
    }

    @Override
    public int bits() {
        return bits;
    }

    /** Returns the number of levels. */
    public int size() {
        return levels.length;
    }

    @Override
    public float lower() {
        return levels[0];
    }

    @Override
    public float upper() {
        return levels[levels.length - 1];
    }

    /** Returns the smallest values that have at least code 1, 2, ... (a copy). */
    public float[] steps() {
        return steps.clone();
    }

    /** Returns all levels (a copy). */
    public float[] toArray() {
        return levels.clone();
    }

    @Override
    public int code(float v) {
        int reached = 0;
        int above = steps.length;
        while (reached < above) {
            int middle = (reached + above) / 2;
            if (v >= steps[middle]) {
                reached = middle + 1;
            } else {
                above = middle;
            }
        }
        return reached;
    }

    @Override
    public float level(int code) {
        return levels[code];
    }

    @Override
    public boolean equals(Object o) {
        return o instanceof LevelTable other && bits == other.bits && Arrays.equals(levels, other.levels);
    }

    @Override
    public int hashCode() {
        return 31 * bits + Arrays.hashCode(levels);
    }

    @Override
    public String toString() {
        return "LevelTable[bits=" + bits + ", levels=" + Arrays.toString(levels) + "]";
    }
}
