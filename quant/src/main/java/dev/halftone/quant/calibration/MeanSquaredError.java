// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.calibration;

import dev.halftone.tensor.UniformGrid;

/**
 * The range of least mean squared error among those that shrink both bounds towards 0 by the same factor, in steps of 1 % (OMSE
 * as used by AdaBM, Hong and Lee 2024, which tries 90 of them).
 *
 * @param candidates how many ranges to try, 1 to 100
 */
public record MeanSquaredError(int candidates) implements Calibrator {
    /** Checks the number of candidates. */
    public MeanSquaredError {
        if (candidates < 1 || candidates > 100) {
            throw new IllegalArgumentException("candidates must be 1 to 100, not " + candidates);
        }
    }

    @Override
    public String id() {
        return "mse";
    }

    @Override
    public UniformGrid calibrate(Distribution values, int bits, Tails tails) {
        float min = values.min();
        float max = values.max();
        return Sweep.argmin(bits, candidates, i -> Sweep.shrunk(min, max, i), values::squaredError);
    }
}
