// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.kernels.Gelu;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * {@link Gelu} for every lane.
 *
 * <p>C2 has a budget of nodes for a method (NodeCountInliningCutoff), and broadcasts and masks take much of it. Where it ends, vector
 * methods are not inlined any more and allocate every result, four times as slow. So the constants are vectors already.
 */
final class VectorGelu {
    private static final VectorSpecies<Float> FLOATS = Panels.SPECIES;
    private static final int LANES = Panels.LANES;

    private static final FloatVector P0 = all(Gelu.probability(0));
    private static final FloatVector P1 = all(Gelu.probability(1));
    private static final FloatVector P2 = all(Gelu.probability(2));
    private static final FloatVector P3 = all(Gelu.probability(3));
    private static final FloatVector P4 = all(Gelu.probability(4));
    private static final FloatVector P5 = all(Gelu.probability(5));
    private static final FloatVector P6 = all(Gelu.probability(6));
    private static final FloatVector P7 = all(Gelu.probability(7));
    private static final FloatVector P8 = all(Gelu.probability(8));
    private static final FloatVector P9 = all(Gelu.probability(9));
    private static final FloatVector P10 = all(Gelu.probability(10));
    private static final FloatVector P11 = all(Gelu.probability(11));
    private static final FloatVector P12 = all(Gelu.probability(12));
    private static final FloatVector P13 = all(Gelu.probability(13));
    private static final FloatVector P14 = all(Gelu.probability(14));
    private static final FloatVector P15 = all(Gelu.probability(15));
    private static final FloatVector S0 = all(Gelu.slope(0));
    private static final FloatVector S1 = all(Gelu.slope(1));
    private static final FloatVector S2 = all(Gelu.slope(2));
    private static final FloatVector S3 = all(Gelu.slope(3));
    private static final FloatVector S4 = all(Gelu.slope(4));
    private static final FloatVector S5 = all(Gelu.slope(5));
    private static final FloatVector S6 = all(Gelu.slope(6));
    private static final FloatVector S7 = all(Gelu.slope(7));
    private static final FloatVector S8 = all(Gelu.slope(8));
    private static final FloatVector S9 = all(Gelu.slope(9));
    private static final FloatVector S10 = all(Gelu.slope(10));
    private static final FloatVector S11 = all(Gelu.slope(11));
    private static final FloatVector S12 = all(Gelu.slope(12));
    private static final FloatVector S13 = all(Gelu.slope(13));
    private static final FloatVector S14 = all(Gelu.slope(14));
    private static final FloatVector S15 = all(Gelu.slope(15));
    private static final FloatVector S16 = all(Gelu.slope(16));
    private static final FloatVector SCALE = all(Gelu.SCALE);
    private static final FloatVector MINUS_ONE = all(-1);
    private static final FloatVector ZERO = all(0);
    private static final FloatVector HALF = all(0.5f);
    private static final FloatVector ONE = all(1);
    private static final FloatVector END = all(Gelu.END);
    private static final FloatVector START = all(-Gelu.END);

    private VectorGelu() {}

    private static FloatVector all(float value) {
        return FloatVector.broadcast(FLOATS, value);
    }

    /** Computes as many whole vectors as there are in {@code count} values. */
    static void gelu(float[] x, int at, float[] y, int to, int count) {
        for (int i = 0; i + LANES <= count; i += LANES) {
            FloatVector v = FloatVector.fromArray(FLOATS, x, at + i);
            v.mul(probability(v)).intoArray(y, to + i);
        }
    }

    /** Computes as many whole vectors as there are in {@code count} values. */
    static void gradient(float[] x, int at, float[] dy, int dyAt, float[] dx, int to, int count) {
        for (int i = 0; i + LANES <= count; i += LANES) {
            FloatVector v = FloatVector.fromArray(FLOATS, x, at + i);
            FloatVector.fromArray(FLOATS, dy, dyAt + i).mul(slope(v)).intoArray(dx, to + i);
        }
    }

    private static FloatVector probability(FloatVector x) {
        FloatVector t = x.mul(x).fma(SCALE, MINUS_ONE);
        FloatVector p = P15.fma(t, P14)
                .fma(t, P13)
                .fma(t, P12)
                .fma(t, P11)
                .fma(t, P10)
                .fma(t, P9)
                .fma(t, P8)
                .fma(t, P7)
                .fma(t, P6)
                .fma(t, P5)
                .fma(t, P4)
                .fma(t, P3)
                .fma(t, P2)
                .fma(t, P1)
                .fma(t, P0);
        return ended(x, x.fma(p, HALF));
    }

    private static FloatVector slope(FloatVector x) {
        FloatVector t = x.mul(x).fma(SCALE, MINUS_ONE);
        FloatVector p = S16.fma(t, S15)
                .fma(t, S14)
                .fma(t, S13)
                .fma(t, S12)
                .fma(t, S11)
                .fma(t, S10)
                .fma(t, S9)
                .fma(t, S8)
                .fma(t, S7)
                .fma(t, S6)
                .fma(t, S5)
                .fma(t, S4)
                .fma(t, S3)
                .fma(t, S2)
                .fma(t, S1)
                .fma(t, S0);
        return ended(x, x.fma(p, HALF));
    }

    private static FloatVector ended(FloatVector x, FloatVector inside) {
        return inside.blend(ONE, x.compare(VectorOperators.GT, END)).blend(ZERO, x.compare(VectorOperators.LT, START));
    }
}
