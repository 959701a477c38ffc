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

    private VectorExponential() {}

    /** Returns {@code e^x}. */
    static FloatVector exp(FloatVector x) {
        FloatVector rounder = FloatVector.broadcast(FLOATS, Exponential.ROUNDER);
        FloatVector shifted = x.fma(FloatVector.broadcast(FLOATS, Exponential.LOG2_E), rounder);
        FloatVector n = shifted.sub(rounder);
        FloatVector r = n.fma(FloatVector.broadcast(FLOATS, -Exponential.LN2_HIGH), x);
        r = n.fma(FloatVector.broadcast(FLOATS, -Exponential.LN2_LOW), r);
        FloatVector p = FloatVector.broadcast(FLOATS, Exponential.P5)
                .fma(r, FloatVector.broadcast(FLOATS, Exponential.P4))
                .fma(r, FloatVector.broadcast(FLOATS, Exponential.P3))
                .fma(r, FloatVector.broadcast(FLOATS, Exponential.P2))
                .fma(r, FloatVector.broadcast(FLOATS, Exponential.P1))
                .fma(r, FloatVector.broadcast(FLOATS, Exponential.P0));
        p = p.fma(r.mul(r), r).add(1f);
        IntVector exponent = shifted.reinterpretAsInts().lanewise(VectorOperators.LSHL, 23);
        FloatVector y = p.reinterpretAsInts().add(exponent).reinterpretAsFloats();
        return y.blend(0f, x.lt(Exponential.LEAST));
    }
}
