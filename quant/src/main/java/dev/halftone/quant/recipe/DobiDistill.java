// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Recipe;
import dev.halftone.quant.calibration.Dobi;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.quant.pass.Distill;
import java.util.List;

/** The default: DOBI bounds, then bounds and weights trained against the fp32 network. */
final class DobiDistill {
    /** About a minute for EDSR with 8 blocks of 64 channels on two cores. */
    private static final long STEPS = 400;

    private DobiDistill() {}

    static Recipe recipe() {
        return new Recipe(
                "dobi-distill",
                TwoDQuant.PAPER + "; short quantization-aware distillation of bounds and weights",
                Recipe.Fidelity.COMMON,
                "DOBI bounds per output channel, then bounds and weights trained against the fp32 network",
                List.of(
                        new CalibrateWeights(new Dobi(Dobi.Variant.AUTO), true),
                        new CalibrateActivations(new Dobi(Dobi.Variant.AUTO)),
                        new Distill(STEPS, Distill.Trained.BOUNDS_AND_WEIGHTS)));
    }
}
