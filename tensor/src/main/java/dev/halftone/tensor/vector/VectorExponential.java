// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.kernels.Exponential;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/** {@link Exponential} for every lane. */
final class VectorExponential {
    private static final VectorSpecies<Float> FLOATS = Panels.SPECIES;

    // Vectors already, see VectorGelu.
    private static final FloatVector ROUNDER = all(Exponential.ROUNDER);
    private static final FloatVector LOG2_E = all(Exponential.LOG2_E);
    private static final FloatVector LN2_HIGH = all(-Exponential.LN2_HIGH);
    private static final FloatVector LN2_LOW = all(-Exponential.LN2_LOW);
    private static final FloatVector P5 = all(Exponential.P5);
    private static final FloatVector P4 = all(Exponential.P4);
    private static final FloatVector P3 = all(Exponential.P3);
    private static final FloatVector P2 = all(Exponential.P2);
    private static final FloatVector P1 = all(Exponential.P1);
    private static final FloatVector P0 = all(Exponential.P0);
    private static final FloatVector ONE = all(1);
    private static final FloatVector ZERO = all(0);
    private static final FloatVector LEAST = all(Exponential.LEAST);

    private VectorExponential() {}

    private static FloatVector all(float value) {
        return FloatVector.broadcast(FLOATS, value);
    }

    /** Returns {@code e^x}. */
    static FloatVector exp(FloatVector x) {
        FloatVector shifted = x.fma(LOG2_E, ROUNDER);
        FloatVector n = shifted.sub(ROUNDER);
        FloatVector r = n.fma(LN2_LOW, n.fma(LN2_HIGH, x));
        FloatVector p = P5.fma(r, P4).fma(r, P3).fma(r, P2).fma(r, P1).fma(r, P0);
        p = p.fma(r.mul(r), r).add(ONE);
        IntVector exponent = shifted.reinterpretAsInts().lanewise(VectorOperators.LSHL, 23);
        FloatVector y = p.reinterpretAsInts().add(exponent).reinterpretAsFloats();
        return y.blend(ZERO, x.compare(VectorOperators.LT, LEAST));
    }
}
