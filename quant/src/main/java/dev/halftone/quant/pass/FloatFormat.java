// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A floating-point number of a few bits. With {@code beta = 2^(E - 1) - 1}, 0 for one exponent bit, the exponent {@code p} and the mantissa
 * {@code m} stand for {@code 2^(p - beta) (1 + m / 2^M)}, or {@code 2^(1 - beta) m / 2^M} where {@code p} is 0. There is no infinity.
 *
 * @param signed whether one bit is the sign
 * @param exponent bits, {@code E}, at least 1; one makes evenly spaced levels
 * @param mantissa bits, {@code M}
 */
record FloatFormat(boolean signed, int exponent, int mantissa) {
    /** More make the smallest levels smaller than any that matter. */
    private static final int MOST_EXPONENT = 3;

    /** Checks the ranges. */
    FloatFormat {
        if (exponent < 1 || exponent > MOST_EXPONENT || mantissa < 0 || exponent + mantissa > 8) {
            throw new IllegalArgumentException(
                    "no format of " + exponent + " exponent and " + mantissa + " mantissa bits");
        }
    }

    /** Returns the formats of so many bits with a sign, or without; there is none of 1 bit with a sign. */
    static List<FloatFormat> of(int bits, boolean signed) {
        int left = signed ? bits - 1 : bits;
        List<FloatFormat> formats = new ArrayList<>();
        for (int e = 1; e <= Math.min(left, MOST_EXPONENT); e++) {
            formats.add(new FloatFormat(signed, e, left - e));
        }
        return formats;
    }

    /** Returns the bits of a number. */
    int bits() {
        return (signed ? 1 : 0) + exponent + mantissa;
    }

    /** Returns whether the levels are evenly spaced. */
    boolean isEven() {
        return exponent == 1;
    }

    /** Returns all numbers in ascending order; with a sign one less than there are codes, as 0 has two. */
    double[] levels() {
        int mantissas = 1 << mantissa;
        int count = mantissas << exponent;
        int beta = exponent == 1 ? 0 : (1 << (exponent - 1)) - 1;
        double[] positive = new double[count];
        for (int code = 0; code < count; code++) {
            int p = code / mantissas;
            double part = (double) (code % mantissas) / mantissas;
            positive[code] = p == 0 ? Math.scalb(part, 1 - beta) : Math.scalb(1 + part, p - beta);
        }
        if (!signed) {
            return positive;
        }
        double[] all = new double[2 * count - 1];
        for (int i = 0; i < count; i++) {
            all[count - 1 + i] = positive[i];
            all[count - 1 - i] = -positive[i] + 0.0;
        }
        return all;
    }

    /** Returns the largest number. */
    double largest() {
        return Arrays.stream(levels()).max().orElseThrow();
    }

    @Override
    public String toString() {
        return (signed ? "E" : "uE") + exponent + "M" + mantissa;
    }
}
