// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.calibration;

import dev.halftone.tensor.UniformGrid;

/** The whole range: nothing is clipped. */
public record MinMax() implements Calibrator {
    @Override
    public String id() {
        return "minmax";
    }

    @Override
    public UniformGrid calibrate(Distribution values, int bits, Tails tails) {
        return Calibrator.covering(bits, values.min(), values.max());
    }
}
