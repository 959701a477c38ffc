// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Pass;
import dev.halftone.quant.Recipe;
import dev.halftone.quant.Recipe.Fidelity;
import dev.halftone.quant.calibration.Dobi;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.GradientOutliers;
import dev.halftone.quant.pass.Ptq161;
import dev.halftone.quant.pass.Reconstruct;
import dev.halftone.quant.pass.Reconstruct.Learned;
import dev.halftone.quant.pass.Reconstruct.Part;
import dev.halftone.quant.pass.SlimLlm;
import dev.halftone.quant.pass.SlimLlm.Rounding;
import java.util.ArrayList;
import java.util.List;

/** Layers whose weights do not all have the same bits; activations have the bounds of {@code dobi}. */
final class MixedParts {
    /** Of a group of weights: eight channels of a 3 x 3 kernel. */
    private static final int INPUTS = 72;

    /** For the whole network, as those of {@link Reconstructed}. */
    private static final long STEPS = 800;

    /** Of the published code. */
    private static final double DAMPING = 0.01;

    /** Batches of 8 patches, where GWQ takes one text. */
    private static final int BATCHES = 4;

    private MixedParts() {}

    static List<Recipe> recipes() {
        return List.of(
                recipe(
                        "slim-llm",
                        "Huang et al., SliM-LLM (2024)",
                        Fidelity.CODE,
                        "a bit more for salient groups of channels, one less for as many others, rounded as by gptq",
                        new SlimLlm(INPUTS, DAMPING, 2, Rounding.COMPENSATED)),
                recipe(
                        "slim-llm-plus",
                        "Huang et al., SliM-LLM (2024)",
                        Fidelity.CODE,
                        "the bits of slim-llm, ranges of groups clipped as is best for each block's output",
                        new SlimLlm(INPUTS, DAMPING, 2, Rounding.NEAREST),
                        new Reconstruct(STEPS, Part.BLOCK, Learned.CLIPPING, false, 0, false, 0)),
                recipe(
                        "ptq1.61-style",
                        "Zhao et al., PTQ1.61 (ACL 2025)",
                        Fidelity.STYLE,
                        "planes of signs, and three bits more for the fifth of the channels with the largest inputs",
                        new Ptq161(0.2, 10)),
                recipe(
                        "gwq-style",
                        "Shao et al., GWQ (2024)",
                        Fidelity.STYLE,
                        "groups rounded to the nearest, the 1 % of weights with the largest gradients in half precision",
                        new GradientOutliers(0.01, INPUTS, BATCHES, 1)));
    }

    private static Recipe recipe(String id, String paper, Fidelity fidelity, String summary, Pass... weights) {
        List<Pass> passes = new ArrayList<>(List.of(new CalibrateActivations(new Dobi(Dobi.Variant.AUTO))));
        passes.addAll(List.of(weights));
        return new Recipe(id, paper, fidelity, summary, passes);
    }
}
