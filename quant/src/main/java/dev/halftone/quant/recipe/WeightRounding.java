// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Pass;
import dev.halftone.quant.Recipe;
import dev.halftone.quant.Recipe.Fidelity;
import dev.halftone.quant.calibration.Dobi;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.quant.pass.Gptq;
import dev.halftone.quant.pass.Hqq;
import dev.halftone.quant.pass.SQuant;
import java.util.ArrayList;
import java.util.List;

/** Methods for weights alone that train nothing; activations have the bounds of {@code dobi}, so that only the weights make the difference. */
final class WeightRounding {
    /** Of the published code. */
    static final double DAMPING = 0.01;

    static final int FACTORS = 15;

    private WeightRounding() {}

    static List<Recipe> recipes() {
        Pass bounds = new CalibrateWeights(new Dobi(Dobi.Variant.AUTO), true);
        return List.of(
                recipe(
                        "gptq",
                        "Frantar et al., GPTQ (ICLR 2023)",
                        Fidelity.CODE,
                        "weights rounded one input after the other, the rest making up for the error on the calibration images",
                        new Gptq(DAMPING, FACTORS)),
                recipe(
                        "squant",
                        "Guo et al., SQuant (ICLR 2022)",
                        Fidelity.CODE,
                        "roundings flipped so that errors cancel in every kernel and output channel; needs no data",
                        bounds,
                        new SQuant()),
                recipe(
                        "hqq",
                        "Badri and Shaji, Half-Quadratic Quantization (2023)",
                        Fidelity.CODE,
                        "grids of weights moved to the least l_0.7 error; needs no data",
                        new Hqq()));
    }

    private static Recipe recipe(String id, String paper, Fidelity fidelity, String summary, Pass... weights) {
        List<Pass> passes = new ArrayList<>();
        passes.add(new CalibrateActivations(new Dobi(Dobi.Variant.AUTO)));
        passes.addAll(List.of(weights));
        return new Recipe(id, paper, fidelity, summary, passes);
    }
}
