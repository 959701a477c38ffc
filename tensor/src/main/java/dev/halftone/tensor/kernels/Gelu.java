// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

/**
 * The Gaussian error linear unit (Hendrycks and Gimpel 2016) in its exact form and its slope, as all kernels compute them: {@code x}
 * times the normal probability below {@code x} is {@code x (1/2 + x p(t))} with {@code t = 2 x^2 / 5.5^2 - 1} and a minimax polynomial
 * p, where {@code |x| <= 5.5}; beyond, where the probability differs from 0 or 1 by less than 2e-8, it is x or 0. The slope is made
 * alike. Both probability and slope are within 3e-7.
 *
 * <p>One polynomial is half the arithmetic of an exponential function, a division and a shorter polynomial, which would keep the tail's
 * relative accuracy, that nobody needs here.
 */
public final class Gelu {
    /** Where the polynomials end. */
    public static final float END = 5.5f;

    /** What {@code x^2} is multiplied with. */
    public static final float SCALE = 2 / (END * END);

    /** The degree of the polynomial of the probability. */
    public static final int PROBABILITY_DEGREE = 15;

    /** The degree of the polynomial of the slope. */
    public static final int SLOPE_DEGREE = 16;

    private static final float[] PROBABILITY = {
        0.12855193f,
        -0.064172335f,
        0.04773763f,
        -0.038792785f,
        0.03207026f,
        -0.026048265f,
        0.020364562f,
        -0.014999053f,
        0.010227844f,
        -0.0068199756f,
        0.004621754f,
        -0.0024185586f,
        0.00072012766f,
        -0.0005291964f,
        0.00063155254f,
        -0.0002363996f
    };

    private static final float[] SLOPE = {
        0.1287592f,
        -0.06573971f,
        0.05366518f,
        -0.053743675f,
        0.060315758f,
        -0.0686428f,
        0.07423522f,
        -0.07404281f,
        0.06525962f,
        -0.05008936f,
        0.039144758f,
        -0.032075047f,
        0.017128263f,
        -0.0033716972f,
        0.0036656933f,
        -0.005782437f,
        0.0022230481f
    };

    private Gelu() {}

    /** Returns the coefficient of {@code t^power} for the probability. */
    public static float probability(int power) {
        return PROBABILITY[power];
    }

    /** Returns the coefficient of {@code t^power} for the slope. */
    public static float slope(int power) {
        return SLOPE[power];
    }

    /** Returns the probability of a value of the standard normal distribution below {@code x}. */
    static float probability(float x) {
        return value(x, PROBABILITY);
    }

    /** Returns the derivative of {@code x probability(x)}. */
    static float slope(float x) {
        return value(x, SLOPE);
    }

    private static float value(float x, float[] coefficients) {
        float t = Math.fma(x * x, SCALE, -1f);
        float p = coefficients[coefficients.length - 1];
        for (int i = coefficients.length - 2; i >= 0; i--) {
            p = Math.fma(p, t, coefficients[i]);
        }
        return x > END ? 1 : x < -END ? 0 : Math.fma(x, p, 0.5f);
    }
}
