// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Recipe;
import dev.halftone.quant.calibration.MeanSquaredError;
import dev.halftone.quant.calibration.MinMax;
import dev.halftone.quant.format.BoundForm;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.quant.pass.ConstrainBounds;
import dev.halftone.quant.pass.SQuant;
import java.util.List;

/**
 * ISQuant: SQuant's roundings on one symmetric grid for each tensor, as plain integer arithmetic wants it. A summary was at hand; packed layers
 * here add integer products too, and scale the sums in fp32.
 */
final class IsQuant {
    private IsQuant() {}

    static Recipe recipe() {
        return new Recipe(
                "isquant-style",
                "ISQuant, integer-only SQuant (2024)",
                Recipe.Fidelity.STYLE,
                "one symmetric min-max grid per weight tensor, roundings flipped as in squant; for 7 and 8 bits",
                List.of(
                        new CalibrateWeights(new MinMax(), false),
                        new CalibrateActivations(new MeanSquaredError(90)),
                        new ConstrainBounds(BoundForm.SYMMETRIC, BoundForm.ONE_STEP),
                        new SQuant()));
    }
}
