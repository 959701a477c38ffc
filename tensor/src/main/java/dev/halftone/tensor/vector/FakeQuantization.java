// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.LevelTable;
import dev.halftone.tensor.Levels;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.CodeSteps;
import dev.halftone.tensor.kernels.PointwiseKernels;
import dev.halftone.tensor.kernels.PointwiseKernels.FakeQuantizeSums;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * Quantization and back over runs of values, {@link UniformGrid#code} and {@link UniformGrid#level} lane by lane. Comparisons and blends
 * instead of the Vector API's maximum and minimum, see {@link CodeMap}; the largest code needs no limit, because the rounded quotient of
 * {@code upper - lower} and its {@code n}-th part is nearer to n than to n + 1.
 */
final class FakeQuantization {
    /** Plus and minus it, floats from 0 to 2^22 are rounded to integers, half to even. */
    static final float ROUNDER = 0x1.8p23f;

    private static final VectorSpecies<Float> FLOATS = Panels.SPECIES;
    private static final int LANES = Panels.LANES;
    private static final int SUM_LANES = PointwiseKernels.SUM_LANES;

    private FakeQuantization() {}

    /** Computes the levels of {@code count} values. */
    static void levels(CodeSteps steps, float[] x, int at, float[] y, int to, int count) {
        if (steps.rising().length == 3) {
            int i = fourLevels(steps, x, at, y, to, count);
            rest(steps.levels(), x, at, y, to, i, count);
            return;
        }
        switch (steps.levels()) {
            case UniformGrid grid -> levels(grid, x, at, y, to, count);
            case LevelTable table -> {
                float[] rising = steps.rising();
                float[] all = table.toArray();
                int i = 0;
                for (; i + LANES <= count; i += LANES) {
                    nearest(FloatVector.fromArray(FLOATS, x, at + i), rising, all)
                            .intoArray(y, to + i);
                }
                rest(table, x, at, y, to, i, count);
            }
        }
    }

    private static FloatVector nearest(FloatVector v, float[] rising, float[] levels) {
        FloatVector y = FloatVector.broadcast(FLOATS, levels[0]);
        for (int i = 0; i < rising.length; i++) {
            y = y.blend(levels[i + 1], v.compare(VectorOperators.GE, rising[i]));
        }
        return y;
    }

    private static void rest(Levels levels, float[] x, int at, float[] y, int to, int from, int count) {
        for (int i = from; i < count; i++) {
            y[to + i] = levels.level(levels.code(x[at + i]));
        }
    }

    /** Four levels, chosen by comparisons: half the time of the division. */
    private static int fourLevels(CodeSteps steps, float[] x, int at, float[] y, int to, int count) {
        FloatVector first = FloatVector.broadcast(FLOATS, steps.rising()[0]);
        FloatVector second = FloatVector.broadcast(FLOATS, steps.rising()[1]);
        FloatVector third = FloatVector.broadcast(FLOATS, steps.rising()[2]);
        FloatVector zero = FloatVector.broadcast(FLOATS, steps.levels().level(0));
        FloatVector one = FloatVector.broadcast(FLOATS, steps.levels().level(1));
        FloatVector two = FloatVector.broadcast(FLOATS, steps.levels().level(2));
        FloatVector three = FloatVector.broadcast(FLOATS, steps.levels().level(3));
        int i = 0;
        for (; i + LANES <= count; i += LANES) {
            FloatVector v = FloatVector.fromArray(FLOATS, x, at + i);
            zero.blend(one, v.compare(VectorOperators.GE, first))
                    .blend(two, v.compare(VectorOperators.GE, second))
                    .blend(three, v.compare(VectorOperators.GE, third))
                    .intoArray(y, to + i);
        }
        return i;
    }

    /**
     * Multiplies {@code count} vectors, {@code stride} apart, with the one at {@code factorAt} and replaces them by the levels of the
     * products.
     */
    static void scaledLevels(CodeSteps steps, float[] x, int at, int count, int stride, int factorAt) {
        FloatVector factor = FloatVector.fromArray(FLOATS, x, factorAt);
        if (steps.levels() instanceof LevelTable table) {
            float[] rising = steps.rising();
            float[] all = table.toArray();
            for (int j = 0; j < count; j++) {
                FloatVector v = FloatVector.fromArray(FLOATS, x, at + j * stride);
                nearest(v.mul(factor), rising, all).intoArray(x, at + j * stride);
            }
            return;
        }
        FloatVector lower = FloatVector.broadcast(FLOATS, steps.grid().lower());
        FloatVector upper = FloatVector.broadcast(FLOATS, steps.grid().upper());
        FloatVector scale = FloatVector.broadcast(FLOATS, steps.grid().scale());
        FloatVector rounder = FloatVector.broadcast(FLOATS, ROUNDER);
        for (int j = 0; j < count; j++) {
            FloatVector v = FloatVector.fromArray(FLOATS, x, at + j * stride).mul(factor);
            FloatVector atLeast = lower.blend(v, v.compare(VectorOperators.GE, lower));
            FloatVector clipped = atLeast.blend(upper, atLeast.compare(VectorOperators.GT, upper));
            clipped.sub(lower)
                    .div(scale)
                    .add(rounder)
                    .sub(rounder)
                    .mul(scale)
                    .add(lower)
                    .intoArray(x, at + j * stride);
        }
    }

    /** The same for four levels. */
    static void scaledFourLevels(CodeSteps steps, float[] x, int at, int count, int stride, int factorAt) {
        FloatVector factor = FloatVector.fromArray(FLOATS, x, factorAt);
        FloatVector first = FloatVector.broadcast(FLOATS, steps.rising()[0]);
        FloatVector second = FloatVector.broadcast(FLOATS, steps.rising()[1]);
        FloatVector third = FloatVector.broadcast(FLOATS, steps.rising()[2]);
        FloatVector zero = FloatVector.broadcast(FLOATS, steps.levels().level(0));
        FloatVector one = FloatVector.broadcast(FLOATS, steps.levels().level(1));
        FloatVector two = FloatVector.broadcast(FLOATS, steps.levels().level(2));
        FloatVector three = FloatVector.broadcast(FLOATS, steps.levels().level(3));
        for (int j = 0; j < count; j++) {
            FloatVector v = FloatVector.fromArray(FLOATS, x, at + j * stride).mul(factor);
            zero.blend(one, v.compare(VectorOperators.GE, first))
                    .blend(two, v.compare(VectorOperators.GE, second))
                    .blend(three, v.compare(VectorOperators.GE, third))
                    .intoArray(x, at + j * stride);
        }
    }

    /** Computes the levels of {@code count} values. */
    static void levels(UniformGrid grid, float[] x, int at, float[] y, int to, int count) {
        FloatVector lower = FloatVector.broadcast(FLOATS, grid.lower());
        FloatVector upper = FloatVector.broadcast(FLOATS, grid.upper());
        FloatVector scale = FloatVector.broadcast(FLOATS, grid.scale());
        FloatVector rounder = FloatVector.broadcast(FLOATS, ROUNDER);
        int i = 0;
        for (; i + LANES <= count; i += LANES) {
            FloatVector v = FloatVector.fromArray(FLOATS, x, at + i);
            FloatVector atLeast = lower.blend(v, v.compare(VectorOperators.GE, lower));
            FloatVector clipped = atLeast.blend(upper, atLeast.compare(VectorOperators.GT, upper));
            clipped.sub(lower)
                    .div(scale)
                    .add(rounder)
                    .sub(rounder)
                    .mul(scale)
                    .add(lower)
                    .intoArray(y, to + i);
        }
        rest(grid, x, at, y, to, i, count);
    }

    /** See {@link PointwiseKernels#fakeQuantizeGradient}; {@code dx} may be {@code dy}. */
    static FakeQuantizeSums gradient(
            UniformGrid grid, float[] x, int xAt, float[] dy, int dyAt, float[] dx, int dxAt, int from, int to) {
        double below = 0;
        double above = 0;
        double rounding = 0;
        float[] sums = new float[3 * SUM_LANES];
        for (int start = from; start < to; start = PointwiseKernels.blockEnd(start, to)) {
            int end = PointwiseKernels.blockEnd(start, to);
            int whole = start + (end - start) / SUM_LANES * SUM_LANES;
            for (int lane = 0; lane < SUM_LANES; lane += LANES) {
                lanes(grid, x, xAt + lane, dy, dyAt + lane, dx, dxAt + lane, start, whole, sums, lane);
            }
            for (int i = whole; i < end; i++) {
                float v = x[xAt + i];
                float d = dy[dyAt + i];
                int lane = i - whole;
                boolean inside = v >= grid.lower() && v <= grid.upper();
                sums[lane] += v <= grid.lower() ? d : 0;
                sums[SUM_LANES + lane] += v >= grid.upper() ? d : 0;
                sums[2 * SUM_LANES + lane] += inside ? d * (grid.code(v) - (v - grid.lower()) / grid.scale()) : 0;
                dx[dxAt + i] = inside ? d : 0;
            }
            below += total(sums, 0);
            above += total(sums, SUM_LANES);
            rounding += total(sums, 2 * SUM_LANES);
        }
        return new FakeQuantizeSums(below, above, rounding);
    }

    private static void lanes(
            UniformGrid grid,
            float[] x,
            int xAt,
            float[] dy,
            int dyAt,
            float[] dx,
            int dxAt,
            int from,
            int to,
            float[] sums,
            int lane) {
        FloatVector lower = FloatVector.broadcast(FLOATS, grid.lower());
        FloatVector upper = FloatVector.broadcast(FLOATS, grid.upper());
        FloatVector scale = FloatVector.broadcast(FLOATS, grid.scale());
        FloatVector rounder = FloatVector.broadcast(FLOATS, ROUNDER);
        FloatVector zero = FloatVector.zero(FLOATS);
        FloatVector below = zero;
        FloatVector above = zero;
        FloatVector rounding = zero;
        for (int i = from; i < to; i += SUM_LANES) {
            FloatVector v = FloatVector.fromArray(FLOATS, x, xAt + i);
            FloatVector d = FloatVector.fromArray(FLOATS, dy, dyAt + i);
            VectorMask<Float> inside = v.compare(VectorOperators.GE, lower).and(v.compare(VectorOperators.LE, upper));
            FloatVector passed = zero.blend(d, inside);
            FloatVector steps = lower.blend(v, inside).sub(lower).div(scale);
            FloatVector error = steps.add(rounder).sub(rounder).sub(steps);
            below = below.add(zero.blend(d, v.compare(VectorOperators.LE, lower)));
            above = above.add(zero.blend(d, v.compare(VectorOperators.GE, upper)));
            rounding = rounding.add(passed.mul(error));
            passed.intoArray(dx, dxAt + i);
        }
        below.intoArray(sums, lane);
        above.intoArray(sums, SUM_LANES + lane);
        rounding.intoArray(sums, 2 * SUM_LANES + lane);
    }

    private static double total(float[] partial, int at) {
        double total = 0;
        for (int i = at; i < at + SUM_LANES; i++) {
            total += partial[i];
        }
        return total;
    }
}
