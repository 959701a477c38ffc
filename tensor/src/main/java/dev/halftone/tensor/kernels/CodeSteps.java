// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.LevelTable;
import dev.halftone.tensor.Levels;
import dev.halftone.tensor.UniformGrid;
import java.util.Arrays;
import java.util.function.IntPredicate;
import org.jspecify.annotations.Nullable;

/**
 * Codes as steps: a value's code is the number of {@link #rising} steps that it reaches plus that of {@link #falling} ones that it does
 * not exceed. For few bits these comparisons take less time than the grid's division, they take in a function before the grid for
 * nothing, and a table of levels has nothing else.
 */
public final class CodeSteps {
    /** Where GELU, which falls before and rises after, is least. */
    private static final float GELU_MINIMUM = -0.75179f;

    /** Beyond, the division is cheaper than {@code 2^bits - 1} comparisons. */
    private static final int MOST_BITS = 4;

    private final Levels levels;
    private final float[] rising;
    private final float[] falling;
    private final boolean takesInFunction;

    private CodeSteps(Levels levels, float[] rising, float[] falling, boolean takesInFunction) {
        this.levels = levels;
        this.takesInFunction = takesInFunction;
        this.rising = rising;
        this.falling = falling;
    }

    /** Returns the steps of the codes of these levels. */
    public static CodeSteps of(Levels levels) {
        return switch (levels) {
            case UniformGrid grid -> of(grid);
            case LevelTable table -> new CodeSteps(table, table.steps(), new float[0], false);
        };
    }

    /** Returns the steps of a grid's codes; none for more than 4 bits. */
    public static CodeSteps of(UniformGrid grid) {
        int count = grid.bits() <= MOST_BITS ? grid.maxCode() : 0;
        float[] rising = new float[count];
        for (int k = 0; k < count; k++) {
            int code = k + 1;
            rising[k] = value(first(ordered(grid.lower()), ordered(grid.upper()), i -> grid.code(value(i)) >= code));
        }
        return new CodeSteps(grid, rising, new float[0], false);
    }

    /**
     * Returns the steps of the codes of GELUs, for values before it; null for more than 4 bits. Where the float32 function is not monotone
     * in its last bit, a value that near to a step may get the neighbouring code.
     */
    public static @Nullable CodeSteps beforeGelu(UniformGrid grid) {
        if (grid.bits() > MOST_BITS) {
            return null;
        }
        float[] rising = new float[grid.maxCode()];
        float[] falling = new float[grid.maxCode()];
        int fallings = 0;
        int middle = ordered(GELU_MINIMUM);
        int far = ordered(-Float.MAX_VALUE);
        for (int k = 0; k < rising.length; k++) {
            int code = k + 1;
            IntPredicate reaches = i -> grid.code(value(i) * Gelu.probability(value(i))) >= code;
            if (reaches.test(middle)) {
                rising[k] = Float.NEGATIVE_INFINITY;
                continue;
            }
            rising[k] = value(first(middle, ordered(Float.MAX_VALUE), reaches));
            if (reaches.test(far)) {
                falling[fallings++] = value(first(far, middle, reaches.negate()) - 1);
            }
        }
        return new CodeSteps(grid, rising, Arrays.copyOf(falling, fallings), true);
    }

    /** Returns the first number in {@code (from, to]} that something holds for, if it holds from some number on up to {@code to}. */
    private static int first(int from, int to, IntPredicate holds) {
        int no = from;
        int yes = to;
        while ((long) yes - no > 1) {
            int middle = (int) (((long) yes + no) >> 1);
            if (holds.test(middle)) {
                yes = middle;
            } else {
                no = middle;
            }
        }
        return yes;
    }

    /** Returns a number for a float, in the same order. */
    private static int ordered(float v) {
        int bits = Float.floatToIntBits(v);
        return bits ^ ((bits >> 31) & Integer.MAX_VALUE);
    }

    private static float value(int ordered) {
        return Float.intBitsToFloat(ordered ^ ((ordered >> 31) & Integer.MAX_VALUE));
    }

    /** Returns what the codes stand for. */
    public Levels levels() {
        return levels;
    }

    /**
     * Returns what the codes stand for.
     *
     * @throws IllegalStateException if that is no grid
     */
    public UniformGrid grid() {
        if (levels instanceof UniformGrid grid) {
            return grid;
        }
        throw new IllegalStateException("codes of a grid are wanted, not of " + levels);
    }

    /** Returns whether values come before a function, so that {@link #grid} alone does not give their codes. */
    public boolean takesInFunction() {
        return takesInFunction;
    }

    /** Returns the smallest values that have at least code 1, 2, ... (not a copy); empty where only the grid tells. */
    public float[] rising() {
        return rising;
    }

    /** Returns the largest of the values that lie below all rising steps and have at least code 1, 2, ... (not a copy). */
    public float[] falling() {
        return falling;
    }

    /** Returns the code of a value. */
    public int code(float v) {
        if (rising.length == 0) {
            return levels.code(v);
        }
        int code = 0;
        for (float step : rising) {
            code += v >= step ? 1 : 0;
        }
        for (float step : falling) {
            code += v <= step ? 1 : 0;
        }
        return code;
    }
}
