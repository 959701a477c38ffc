// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.calibration;

import dev.halftone.tensor.UniformGrid;

/**
 * Where a step that is learned begins, see {@link Start}. Levels are multiples of the step {@code s}: {@code 0} to {@code (2^bits - 1) s} where
 * no value is negative, else {@code -2^(bits - 1) s} to {@code (2^(bits - 1) - 1) s}; with one bit {@code -s / 2} and {@code s / 2}.
 *
 * @param start how the step is chosen
 */
public record LearnedStep(Start start) implements Calibrator {
    /** How the first step is chosen. */
    public enum Start {
        /** {@code 2 mean |v| / sqrt(q)}, where {@code q} is the code of the largest level (LSQ, Esser et al. 2020). */
        MEAN_MAGNITUDE,
        /** {@code max(|mean - 3 sd|, |mean + 3 sd|) / 2^bits} (LSQ+, Bhalgat et al. 2020, as MQBench's code has it). */
        THREE_DEVIATIONS
    }

    @Override
    public String id() {
        return start == Start.MEAN_MAGNITUDE ? "lsq" : "lsq+";
    }

    @Override
    public UniformGrid calibrate(Distribution values, int bits, Tails tails) {
        boolean signed = values.min() < 0;
        int last = signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
        double step = step(values.histogram(), bits, Math.max(1, last));
        if (signed && bits == 1) {
            return Calibrator.covering(bits, (float) (-step / 2), (float) (step / 2));
        }
        double first = signed ? -(1 << (bits - 1)) * step : 0;
        return Calibrator.covering(bits, (float) first, (float) (last * step));
    }

    private double step(Histogram values, int bits, int last) {
        double magnitude = 0;
        double sum = 0;
        for (int bin = 0; bin < values.bins(); bin++) {
            if (values.count(bin) > 0) {
                sum += values.count(bin) * (double) values.mean(bin);
                magnitude += values.count(bin) * Math.abs((double) values.mean(bin));
            }
        }
        if (start == Start.MEAN_MAGNITUDE) {
            return 2 * magnitude / values.count() / Math.sqrt(last);
        }
        double mean = sum / values.count();
        double deviation = Math.sqrt(Math.max(0, values.sumOfSquares() / values.count() - mean * mean));
        return (Math.abs(mean) + 3 * deviation) / (1 << bits);
    }
}
