// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Recipe;
import dev.halftone.quant.calibration.DensityClip;
import dev.halftone.quant.calibration.MinMax;
import dev.halftone.quant.pass.AllocateEnds;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.quant.pass.Distill;
import dev.halftone.quant.pass.Distill.FeatureLoss;
import dev.halftone.quant.pass.Distill.Trained;
import java.util.List;

/**
 * PTQ4SR: density-based dual clipping of activations (DBDC), then pixel-aware calibration (Pac), which trains the bounds of activations and
 * after them those of weights. Weights are frozen; the ends of the network have 8 bits.
 *
 * <p>Pac's rates are absolute in the code, 5e-3 and 5e-6, and its gradients are scaled by layer, which Adam undoes; here steps are relative
 * to the distance of bounds, as everywhere. The loss on features has weight 5 and acts as the paper says; in the published code it has no
 * gradient.
 */
final class DbdcPac {
    /** Of each of the two trainings; 250 in the code. */
    private static final long STEPS = 100;

    private DbdcPac() {}

    static Recipe recipe() {
        return new Recipe(
                "dbdc-pac",
                "Tu et al., Toward Accurate Post-Training Quantization for Image Super Resolution (CVPR 2023)",
                Recipe.Fidelity.PAPER,
                "activations clipped where they are sparse, then the bounds of activations trained, then those of weights",
                List.of(
                        new AllocateEnds(8),
                        new CalibrateWeights(new MinMax(), true),
                        new CalibrateActivations(new DensityClip()),
                        new Distill(STEPS, Trained.INPUT_BOUNDS, FeatureLoss.ENERGY, 5),
                        new Distill(STEPS, Trained.WEIGHT_BOUNDS, FeatureLoss.ENERGY, 5)));
    }
}
