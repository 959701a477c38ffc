// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.calibration.Calibrator;
import dev.halftone.quant.calibration.Histogram;
import dev.halftone.quant.calibration.Tails;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.tensor.Levels;
import dev.halftone.tensor.UniformGrid;
import java.util.Map;

/**
 * Chooses the bounds of every site's input, one grid for the tensor, from what the fp32 network computes on the calibration images:
 * errors of earlier sites are not propagated. Inputs that stay fp32 are left out.
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
        Map<InputOperand, Histogram> inputs = run.observeInputs();
        inputs.forEach((input, seen) -> {
            UniformGrid grid = grid(calibrator, input, seen, input.bits());
            input.quantize(UniformQuantizer.perTensor(grid), relativeError(seen, grid));
        });
    }

    /** Returns the grid of so many bits for an input. */
    static UniformGrid grid(Calibrator calibrator, InputOperand input, Histogram seen, int bits) {
        // What a ReLU has cut has a minimum of exactly 0: the fixed minimum and the one long tail that papers speak of.
        Tails tails = seen.min() == 0 ? Tails.UPPER : input.tails();
        return calibrator.calibrate(seen, bits, tails);
    }

    /** Returns {@code |x - xq|^2 / |x|^2}. */
    static double relativeError(Histogram seen, Levels levels) {
        return seen.squaredError(levels) / Math.max(seen.sumOfSquares(), Double.MIN_NORMAL);
    }
}
