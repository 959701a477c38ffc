// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Recipe;
import dev.halftone.quant.Recipe.Fidelity;
import dev.halftone.quant.calibration.Dobi;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.quant.pass.CorrectOutputs;
import dev.halftone.quant.pass.Gptq;
import java.util.List;

/**
 * PTQ4VM's global affine correction, on rounding to the nearest and on GPTQ. Of the paper, whose network makes mattes of videos, only a summary
 * was at hand; the least squares are ours.
 */
final class Corrected {
    private static final String PAPER =
            "post-training quantization for video matting (PTQ4VM, 2025), global affine correction";

    private Corrected() {}

    static List<Recipe> recipes() {
        Dobi dobi = new Dobi(Dobi.Variant.AUTO);
        return List.of(
                new Recipe(
                        "ptq4vm-style",
                        PAPER,
                        Fidelity.STYLE,
                        "DOBI bounds, then every output channel fitted to the fp32 network's by a factor and a shift",
                        List.of(
                                new CalibrateWeights(dobi, true),
                                new CalibrateActivations(dobi),
                                new CorrectOutputs())),
                new Recipe(
                        "gptq-corrected",
                        "Frantar et al., GPTQ (ICLR 2023), with PTQ4VM's global affine correction",
                        Fidelity.STYLE,
                        "gptq, then every output channel fitted to the fp32 network's by a factor and a shift",
                        List.of(
                                new CalibrateActivations(dobi),
                                new Gptq(WeightRounding.DAMPING, WeightRounding.FACTORS),
                                new CorrectOutputs())));
    }
}
