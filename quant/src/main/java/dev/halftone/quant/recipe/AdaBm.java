// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Recipe;
import dev.halftone.quant.calibration.MeanSquaredError;
import dev.halftone.quant.pass.AllocateByDeviation;
import dev.halftone.quant.pass.AllocateEnds;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.quant.pass.Distill;
import dev.halftone.quant.pass.Distill.FeatureLoss;
import dev.halftone.quant.pass.Distill.Trained;
import java.util.List;

/**
 * AdaBM: bits by layer at the same average, bounds shrunk for the bits that were given, then the bounds of weights and those of activations
 * trained in turn.
 *
 * <p>A style of it: the factor of the image and its thresholds are left out, see {@link AllocateByDeviation}; one turn of each training instead
 * of ten; weights have bounds for every output channel; blocks are compared by absolute differences, with the paper's weight.
 */
final class AdaBm {
    /** Of each of the two trainings. */
    private static final long STEPS = 100;

    private AdaBm() {}

    static Recipe recipe() {
        return new Recipe(
                "adabm-style",
                "Hong and Lee, AdaBM (CVPR 2024)",
                Recipe.Fidelity.STYLE,
                "a bit more for inputs that vary much and one less for others, bounds by squared error, then trained",
                List.of(
                        new AllocateEnds(8),
                        new AllocateByDeviation(0.3),
                        new CalibrateWeights(new MeanSquaredError(50), true),
                        new CalibrateActivations(new MeanSquaredError(90)),
                        new Distill(STEPS, Trained.WEIGHT_BOUNDS, FeatureLoss.RELATIVE, 10),
                        new Distill(STEPS, Trained.INPUT_BOUNDS, FeatureLoss.RELATIVE, 10)));
    }
}
