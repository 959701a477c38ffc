// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Recipe;
import dev.halftone.quant.calibration.Dobi;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.quant.pass.Condition;
import dev.halftone.quant.pass.Distill;
import java.util.List;

/** CondiQuant: lower the condition numbers of the weights, then quantize as 2DQuant does, against the original network. */
final class CondiQuant {
    /** Of the range in which toy layers gain most, 3e-3 to 1e-2, the end where condition numbers fall further. */
    private static final double TAU = 1e-2;

    private static final int ITERATIONS = 100;
    private static final double MAX_DRIFT = 0.05;

    private CondiQuant() {}

    static Recipe recipe() {
        return new Recipe(
                "condiquant",
                "Liu et al., CondiQuant (2025)",
                Recipe.Fidelity.STYLE,
                "condition numbers of weights lowered by proximal gradient descent, then 2DQuant against the original network",
                List.of(
                        new Condition(ITERATIONS, TAU, MAX_DRIFT),
                        new CalibrateWeights(new Dobi(Dobi.Variant.AUTO), false),
                        new CalibrateActivations(new Dobi(Dobi.Variant.AUTO)),
                        new Distill(TwoDQuant.STEPS, Distill.Trained.BOUNDS)));
    }
}
