// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.calibration;

import dev.halftone.tensor.UniformGrid;

/**
 * The step of least mean squared error for a normal distribution (Max 1960, table 2), around 0: {@code 2^bits} levels, of which the
 * middle two are half a step from 0, for values of the same root mean square. DAQ (Hong et al. 2022) quantizes weights so.
 */
public record GaussianStep() implements Calibrator {
    /** For unit variance and 1 to 8 bits. */
    private static final double[] STEPS = {1.596, 0.996, 0.586, 0.335, 0.188, 0.104, 0.057, 0.031};

    /** Returns the best step for unit variance. */
    public static double step(int bits) {
        return STEPS[bits - 1];
    }

    /** Returns the grid around {@code centre} for values of a standard deviation; around a single value if that is 0. */
    public static UniformGrid around(int bits, double centre, double deviation) {
        double reach = ((1 << bits) - 1) / 2.0 * step(bits) * deviation;
        return Calibrator.covering(bits, (float) (centre - reach), (float) (centre + reach));
    }

    @Override
    public String id() {
        return "gaussian-step";
    }

    @Override
    public UniformGrid calibrate(Distribution values, int bits, Tails tails) {
        Histogram histogram = values.histogram();
        return around(bits, 0, Math.sqrt(histogram.sumOfSquares() / histogram.count()));
    }
}
