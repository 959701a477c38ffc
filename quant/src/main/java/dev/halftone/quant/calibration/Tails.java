// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.calibration;

/** On which sides a distribution thins out, so that clipping there can pay. */
public enum Tails {
    /** Bell-shaped: weights, most activations. */
    BOTH,
    /** A fixed minimum and one long tail: behind ReLU, GELU or softmax. */
    UPPER,
    /** A fixed maximum and one long tail. */
    LOWER;

    /**
     * Tells one-sided ranges from others: one bound is less than a tenth of the other in magnitude. (Our rule; 2DQuant decides by
     * eye, from histograms.)
     */
    public static Tails of(float min, float max) {
        float below = Math.abs(min);
        float above = Math.abs(max);
        return below < 0.1f * above ? UPPER : above < 0.1f * below ? LOWER : BOTH;
    }
}
