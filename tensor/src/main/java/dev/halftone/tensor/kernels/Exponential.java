// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

/**
 * The exponential function in single precision as all kernels compute it: {@code 2^n p(r)} with {@code x = n log 2 + r},
 * {@code |r| <= log 2 / 2}, and Cephes' polynomial of degree 7. The relative error is below 2e-7.
 */
public final class Exponential {
    /** Below this the result is 0 rather than a number too small for full precision; above {@code -LEAST} it is not defined. */
    public static final float LEAST = -87;

    /** Plus and minus it, floats of magnitude up to 2^22 are rounded to integers, which are then its low bits. */
    public static final float ROUNDER = 0x1.8p23f;

    /** {@code 1 / log 2}. */
    public static final float LOG2_E = 1.442695f;

    /** {@code log 2} in two parts, the first of which is exact in few bits. */
    public static final float LN2_HIGH = 0x1.63p-1f;

    /** The rest of {@code log 2}. */
    public static final float LN2_LOW = -2.12194440e-4f;

    /** The coefficients of {@code (p(r) - 1 - r) / r^2}. */
    public static final float P5 = 1.9875691e-4f;

    /** See {@link #P5}. */
    public static final float P4 = 1.3981999e-3f;

    /** See {@link #P5}. */
    public static final float P3 = 8.333452e-3f;

    /** See {@link #P5}. */
    public static final float P2 = 4.1665796e-2f;

    /** See {@link #P5}. */
    public static final float P1 = 1.6666666e-1f;

    /** See {@link #P5}. */
    public static final float P0 = 0.5f;

    private Exponential() {}

    /** Returns {@code e^x}. */
    public static float exp(float x) {
        if (x < LEAST) {
            return 0;
        }
        float shifted = Math.fma(x, LOG2_E, ROUNDER);
        float n = shifted - ROUNDER;
        float r = Math.fma(n, -LN2_LOW, Math.fma(n, -LN2_HIGH, x));
        float p = Math.fma(P5, r, P4);
        p = Math.fma(p, r, P3);
        p = Math.fma(p, r, P2);
        p = Math.fma(p, r, P1);
        p = Math.fma(p, r, P0);
        p = Math.fma(p, r * r, r) + 1;
        return Float.intBitsToFloat(Float.floatToRawIntBits(p) + (Float.floatToRawIntBits(shifted) << 23));
    }
}
