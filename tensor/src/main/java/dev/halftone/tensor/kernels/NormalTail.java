// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

/**
 * The upper tail of the standard normal distribution in single precision, which GELU is made of:
 * {@code P(X > a) = e^(-a^2 / 2) t q(t)} with {@code t = 1 / (1 + 11/32 a)}. The polynomial {@code q} is the minimax approximation of
 * degree 8 for the relative error, which is 2e-8; rounding adds up to 2e-7 to the probability.
 */
public final class NormalTail {
    /** The factor of {@code a} in {@code 1 / t}. */
    public static final float SLOPE = 0.34375f;

    /** {@code 1 / sqrt(2 pi)}, the density's factor. */
    public static final float DENSITY = 0.3989423f;

    /** The coefficients of {@code q}, the constant one first. */
    public static final float Q0 = 0.13711873f;

    /** See {@link #Q0}. */
    public static final float Q1 = 0.13756002f;

    /** See {@link #Q0}. */
    public static final float Q2 = 0.11660231f;

    /** See {@link #Q0}. */
    public static final float Q3 = 0.11324375f;

    /** See {@link #Q0}. */
    public static final float Q4 = -0.04079024f;

    /** See {@link #Q0}. */
    public static final float Q5 = 0.19322386f;

    /** See {@link #Q0}. */
    public static final float Q6 = -0.27386242f;

    /** See {@link #Q0}. */
    public static final float Q7 = 0.14495364f;

    /** See {@link #Q0}. */
    public static final float Q8 = -0.028049618f;

    private NormalTail() {}

    /** Returns {@code e^(a^2 / 2) P(X > a)} for {@code a >= 0}. */
    static float ratio(float a) {
        float t = 1 / Math.fma(a, SLOPE, 1f);
        float q = Math.fma(Q8, t, Q7);
        q = Math.fma(q, t, Q6);
        q = Math.fma(q, t, Q5);
        q = Math.fma(q, t, Q4);
        q = Math.fma(q, t, Q3);
        q = Math.fma(q, t, Q2);
        q = Math.fma(q, t, Q1);
        q = Math.fma(q, t, Q0);
        return q * t;
    }
}
