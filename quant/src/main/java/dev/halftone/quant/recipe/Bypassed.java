// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.BypassedLayer.Part;
import dev.halftone.quant.Recipe;
import dev.halftone.quant.Recipe.Fidelity;
import dev.halftone.quant.calibration.Dobi;
import dev.halftone.quant.pass.Bypass;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.quant.pass.Distill;
import dev.halftone.quant.pass.Distill.Trained;
import dev.halftone.quant.pass.ReparameterizeChannels;
import java.util.List;
import java.util.Set;

/**
 * The generic parts of two binary networks around the layers of any network, trained like the default recipe: BI-DiffSR's thresholds,
 * RPReLU and bypass; BiDense's scale that follows the input, and bypass between unlike numbers of channels.
 *
 * <p>A style of both: they train networks of their own for days, and round weights to signs of one magnitude; here a published network is trained on
 * for some hundred steps, on grids of two free levels.
 */
final class Bypassed {
    private static final long STEPS = 400;

    private Bypassed() {}

    static List<Recipe> recipes() {
        return List.of(
                recipe(
                        "bi-diffsr-style",
                        "Chen et al., BI-DiffSR (NeurIPS 2024)",
                        "thresholds before, RPReLU behind and a bypass past every layer, trained with bounds and weights; for 1 bit",
                        Part.CHANNEL_RELU),
                recipe(
                        "bidense-style",
                        "Yin et al., BiDense (2024)",
                        "levels that follow what is around each pixel and a bypass past every layer, trained with bounds and weights; for 1 bit",
                        Part.LOCAL_SCALE));
    }

    private static Recipe recipe(String id, String paper, String summary, Part part) {
        return new Recipe(
                id,
                paper,
                Fidelity.STYLE,
                summary,
                List.of(
                        new Bypass(Set.of(part)),
                        new CalibrateActivations(new Dobi(Dobi.Variant.AUTO)),
                        new ReparameterizeChannels(new Dobi(Dobi.Variant.AUTO)),
                        new CalibrateWeights(new Dobi(Dobi.Variant.AUTO), true),
                        new Distill(STEPS, Trained.BYPASSES)));
    }
}
