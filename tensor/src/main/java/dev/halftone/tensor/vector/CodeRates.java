// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.kernels.CodePath;
import dev.halftone.tensor.kernels.CodeRate;
import java.util.ArrayList;
import java.util.List;

/**
 * The recorded rates by which the way of multiplying codes is chosen. A record, not a measurement at start: the choice is then the
 * same in every run, and costs no time. {@code bench/run --rates} prints these tables for the machine that it runs on. Recorded on
 * one core of Zen 4 (3.7 GHz): 512 bits with AVX-512, 256 bits with {@code -XX:UseAVX=2}, 128 bits with that and {@code
 * -XX:MaxVectorSize=16}.
 */
final class CodeRates {
    /** Table look-ups, {@code [weight bits - 1][activation bits - 1]}; 0 where there is no table. */
    private static final int[][] LOOK_UP_512 = {
        {861, 769, 436, 404, 217, 205, 166, 127},
        {608, 587, 410, 313, 199, 167, 126, 0},
        {447, 416, 384, 194, 166, 128, 0, 0},
        {239, 224, 204, 170, 130, 0, 0, 0},
        {230, 195, 169, 130, 0, 0, 0, 0},
        {208, 165, 129, 0, 0, 0, 0, 0}
    };

    private static final int[][] LOOK_UP_256 = {
        {275, 251, 140, 124, 67, 54, 45, 32},
        {147, 139, 123, 86, 55, 45, 32, 0},
        {79, 74, 67, 56, 46, 32, 0, 0},
        {75, 67, 56, 46, 32, 0, 0, 0},
        {66, 55, 45, 32, 0, 0, 0, 0}
    };

    private static final int[][] LOOK_UP_128 = {
        {235, 239, 138, 125, 67, 57, 44, 31},
        {144, 139, 125, 83, 58, 45, 31, 0},
        {77, 74, 67, 57, 44, 31, 0, 0},
        {74, 67, 57, 45, 31, 0, 0, 0}
    };

    private CodeRates() {}

    /** Returns the ways for codes of these widths with vectors of {@code vectorBits}. */
    static List<CodeRate> of(int vectorBits, int weightBits, int activationBits) {
        int[][] lookUp = vectorBits >= 512 ? LOOK_UP_512 : vectorBits >= 256 ? LOOK_UP_256 : LOOK_UP_128;
        List<CodeRate> rates = new ArrayList<>();
        if (weightBits == 1 && activationBits == 1) {
            rates.add(new CodeRate(CodePath.BIT_COUNT, vectorBits >= 512 ? 1281 : vectorBits >= 256 ? 314 : 165));
        }
        if (weightBits <= lookUp.length && lookUp[weightBits - 1][activationBits - 1] > 0) {
            rates.add(new CodeRate(CodePath.LOOK_UP, lookUp[weightBits - 1][activationBits - 1]));
        }
        rates.add(new CodeRate(CodePath.FLOAT, vectorBits >= 512 ? 105 : vectorBits >= 256 ? 71 : 37));
        return rates;
    }
}
