// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Pass;
import dev.halftone.quant.Recipe;
import dev.halftone.quant.Recipe.Fidelity;
import dev.halftone.quant.calibration.Dobi;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.quant.pass.LogarithmicProbabilities;
import dev.halftone.quant.pass.NoisyBias;
import dev.halftone.quant.pass.ReparameterizeChannels;
import dev.halftone.quant.pass.RotateTrunks;
import java.util.List;

/** Recipes without training that transform the network, which computes what it did, before bounds are chosen by DOBI. */
final class Transformed {
    private static final Dobi DOBI = new Dobi(Dobi.Variant.AUTO);
    private static final Pass WEIGHTS = new CalibrateWeights(DOBI, true);
    /** Of signs and of noise. */
    private static final long SEED = 1;

    private Transformed() {}

    static List<Recipe> recipes() {
        return List.of(
                new Recipe(
                        "hadamard",
                        "Ashkboos et al., QuaRot (NeurIPS 2024), for the residual stream of a convolutional network",
                        Fidelity.STYLE,
                        "the residual stream rotated by a Hadamard matrix that is folded into the weights, then DOBI",
                        List.of(new RotateTrunks(SEED), WEIGHTS, new CalibrateActivations(DOBI))),
                new Recipe(
                        "noisyquant",
                        "Liu et al., NoisyQuant (CVPR 2023)",
                        Fidelity.PAPER,
                        "DOBI, and a fixed noise for every input channel where it lowers the error",
                        List.of(new NoisyBias(DOBI, SEED), WEIGHTS)),
                new Recipe(
                        "repq-style",
                        "Li et al., RepQ-ViT (ICCV 2023)",
                        Fidelity.STYLE,
                        "a grid for every input channel by DOBI, made one grid by scaling and shifting channels; powers of sqrt 2 behind softmax",
                        List.of(
                                new CalibrateActivations(DOBI),
                                new LogarithmicProbabilities(),
                                new ReparameterizeChannels(DOBI),
                                WEIGHTS)));
    }
}
