// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

/** The standard normal distribution, which GELU is made of. */
final class StandardNormal {
    /**
     * The Chebyshev series on [0, 1] of {@code log(erfc(z) / t) + z^2} as a function of {@code t = 2 / (2 + z)}, computed with 50
     * digits; the first term is halved. What is left out is below 4e-10.
     */
    private static final double[] SERIES = {
        -0.6513268598908547,
        0.6419697923564902,
        0.019476473204185836,
        -0.009561514786808632,
        -0.0009465953444820369,
        0.00036683949785276145,
        4.252332480690777e-05,
        -2.0278578112534242e-05,
        -1.6242900046470256e-06,
        1.3036558355805232e-06,
        1.5626441722066142e-08,
        -8.523809591492654e-08,
        6.5290544390988515e-09,
        5.059343495551469e-09,
        -9.91364156493033e-10
    };

    private StandardNormal() {}

    /** Returns the probability of a value below {@code x}, with a relative error below 1e-9. */
    static double cumulative(double x) {
        double upper = erfc(Math.abs(x) * Math.sqrt(0.5)) / 2;
        return x < 0 ? upper : 1 - upper;
    }

    /** Returns the density at {@code x}. */
    static double density(double x) {
        return Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
    }

    /** Returns the complementary error function of {@code z >= 0}. */
    private static double erfc(double z) {
        double t = 2 / (2 + z);
        double u = 4 * t - 2;
        double next = 0;
        double afterNext = 0;
        for (int i = SERIES.length - 1; i > 0; i--) {
            double value = u * next - afterNext + SERIES[i];
            afterNext = next;
            next = value;
        }
        return t * Math.exp(u / 2 * next - afterNext + SERIES[0] - z * z);
    }
}
