// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.calibration;

import dev.halftone.tensor.UniformGrid;

/**
 * The range between two percentiles; the whole range where both percentiles are one value (a channel that is nearly always 0).
 *
 * @param percent clips this share of the values, in percent, on either side; at least 0 and less than 50
 */
public record Percentile(double percent) implements Calibrator {
    /** Checks the share. */
    public Percentile {
        if (!(percent >= 0 && percent < 50)) {
            throw new IllegalArgumentException("the percentile must be at least 0 and less than 50, not " + percent);
        }
    }

    @Override
    public String id() {
        return "percentile";
    }

    @Override
    public UniformGrid calibrate(Distribution values, int bits, Tails tails) {
        float lower = values.quantile(percent / 100);
        float upper = values.quantile(1 - percent / 100);
        return lower < upper
                ? Calibrator.covering(bits, lower, upper)
                : Calibrator.covering(bits, values.min(), values.max());
    }
}
