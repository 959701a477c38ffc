// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Recipe;
import dev.halftone.quant.Recipe.Fidelity;
import dev.halftone.quant.calibration.Dobi;
import dev.halftone.quant.calibration.MinMax;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.quant.pass.Dilate;
import dev.halftone.quant.pass.Distill;
import dev.halftone.quant.pass.Equalize;
import dev.halftone.quant.pass.ScaleSalient;
import java.util.List;

/** Recipes that move differences between input channels to the weights, or from them, before bounds are chosen. */
final class Equalized {
    /** As many as the published code of AWQ tries. */
    private static final int RATIOS = 20;

    private static final long STEPS = 200;

    private Equalized() {}

    static List<Recipe> recipes() {
        Dobi dobi = new Dobi(Dobi.Variant.AUTO);
        return List.of(
                new Recipe(
                        "smoothquant",
                        "Xiao et al., SmoothQuant (ICML 2023)",
                        Fidelity.CODE,
                        "input channels and their weights made equally large, then DOBI",
                        List.of(new Equalize(0.5), new CalibrateWeights(dobi, true), new CalibrateActivations(dobi))),
                new Recipe(
                        "awq",
                        "Lin et al., AWQ (MLSys 2024)",
                        Fidelity.CODE,
                        "weights of large input channels rounded more finely, by the output's error; activations by DOBI",
                        List.of(new ScaleSalient(RATIOS), new CalibrateActivations(dobi))),
                new Recipe(
                        "dilatequant-style",
                        "Liu et al., DilateQuant (2024), weight dilation",
                        Fidelity.STYLE,
                        "input channels shrunk as far as the ranges of weights allow, min-max weights, then trained",
                        List.of(
                                new Dilate(),
                                new CalibrateWeights(new MinMax(), true),
                                new CalibrateActivations(dobi),
                                new Distill(
                                        STEPS, Distill.Trained.BOUNDS_AND_WEIGHTS, Distill.FeatureLoss.RELATIVE, 1))));
    }
}
