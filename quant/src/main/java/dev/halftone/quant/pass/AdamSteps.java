// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

/** Adam (Kingma and Ba 2015, algorithm 1) on variables that are no parameters of a network, whose gradients are chained by hand. */
final class AdamSteps {
    private static final double KEEP_MEAN = 0.9;
    private static final double KEEP_SQUARE = 0.999;
    private static final double EPSILON = 1e-12;

    private final float[] mean;
    private final float[] square;
    private int steps;

    AdamSteps(int variables) {
        mean = new float[variables];
        square = new float[variables];
    }

    /** Changes the variables against their gradients. */
    void step(float[] variables, float[] gradients, double rate) {
        steps++;
        double size = rate / (1 - Math.pow(KEEP_MEAN, steps));
        double correction = 1 / Math.sqrt(1 - Math.pow(KEEP_SQUARE, steps));
        for (int i = 0; i < variables.length; i++) {
            float g = gradients[i];
            mean[i] = (float) (KEEP_MEAN * mean[i] + (1 - KEEP_MEAN) * g);
            square[i] = (float) (KEEP_SQUARE * square[i] + (1 - KEEP_SQUARE) * g * g);
            variables[i] -= (float) (size * mean[i] / (Math.sqrt(square[i]) * correction + EPSILON));
        }
    }
}
