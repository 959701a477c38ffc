// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import java.util.Arrays;
import java.util.SplittableRandom;

/**
 * Widths of operands as real numbers that gradients can change (DiffQ, Defossez et al. 2022): {@code b = least + (most - least)
 * sigmoid(logit)}. Rounding, which has no gradient, is replaced by noise of its size: for values between two bounds {@code span} apart
 * {@code span / (2^b - 1)} times a number drawn evenly from -1/2 to 1/2.
 */
final class LearnedBits {
    private final double least;
    private final double most;
    private final float[] logits;
    private final AdamSteps steps;

    /** Begins with {@code first} bits for every operand; {@code least < first < most}. */
    LearnedBits(int operands, double least, double most, double first) {
        this.least = least;
        this.most = most;
        logits = new float[operands];
        Arrays.fill(logits, (float) Math.log((first - least) / (most - first)));
        steps = new AdamSteps(operands);
    }

    private static double sigmoid(double x) {
        return 1 / (1 + Math.exp(-x));
    }

    /** Returns the present width of an operand. */
    double bits(int operand) {
        return least + (most - least) * sigmoid(logits[operand]);
    }

    /** Returns the distance of two levels of so many bits between bounds that are 1 apart. */
    static double step(double bits) {
        return 1 / (Math.pow(2, bits) - 1);
    }

    /** Returns by how much a step changes with the bits, relative to the step. */
    static double slope(double bits) {
        return -Math.log(2) * Math.pow(2, bits) * step(bits);
    }

    /**
     * Fills an array with noise in units of the distance of two levels: mean 0, variance 1/12.
     *
     * @param noise filled from first to last
     */
    static void draw(float[] noise, SplittableRandom random) {
        long bits = 0;
        for (int i = 0; i < noise.length; i++) {
            bits = i % 4 == 0 ? random.nextLong() : bits >>> 16;
            noise[i] = ((bits & 0xffff) + 0.5f) / 0x10000 - 0.5f;
        }
    }

    /**
     * Does a step of every operand.
     *
     * @param gradients of the loss with respect to each one's bits
     * @param penalty of each one's bits
     * @param rate of Adam on the logits
     */
    void learn(double[] gradients, double[] penalty, double rate) {
        float[] chained = new float[logits.length];
        for (int i = 0; i < chained.length; i++) {
            double s = sigmoid(logits[i]);
            chained[i] = (float) ((gradients[i] + penalty[i]) * (most - least) * s * (1 - s));
        }
        steps.step(logits, chained, rate);
    }
}
