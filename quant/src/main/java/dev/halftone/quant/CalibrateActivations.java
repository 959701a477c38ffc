// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.quant.calibration.Calibrator;
import dev.halftone.quant.calibration.Histogram;
import dev.halftone.quant.calibration.Tails;
import dev.halftone.tensor.UniformGrid;
import java.util.Map;

/**
 * Chooses the bounds of every site's input, one grid for the tensor, from what the fp32 network computes on the calibration images:
 * errors of earlier sites are not propagated.
 *
 * @param calibrator how
 */
public record CalibrateActivations(Calibrator calibrator) implements Pass {
    @Override
    public String id() {
        return "calibrate-activations(" + calibrator.id() + ", per-tensor)";
    }

    @Override
    public void apply(Quantization run) {
        Map<String, Histogram> inputs = run.observeInputs();
        for (Quantization.SiteState s : run.sites()) {
            Histogram seen = inputs.get(s.site.name());
            if (seen == null) {
                throw new IllegalStateException("nothing was observed at " + s.site.name());
            }
            // What a ReLU has cut has a minimum of exactly 0: the fixed minimum and the one long tail that papers speak
            // of.
            Tails tails = seen.min() == 0 ? Tails.UPPER : Tails.BOTH;
            UniformGrid grid = calibrator.calibrate(seen, run.options().activationBits(), tails);
            s.activation = grid;
            s.activationError = seen.squaredError(grid) / Math.max(seen.sumOfSquares(), Double.MIN_NORMAL);
        }
    }
}
