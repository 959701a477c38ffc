// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Recipe;
import dev.halftone.quant.calibration.MeanSquaredError;
import dev.halftone.quant.calibration.MinMax;
import dev.halftone.quant.format.BoundForm;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.quant.pass.ConstrainBounds;
import dev.halftone.quant.pass.IntegerOnly;
import java.util.List;

/**
 * Q-ASR's integer arithmetic for convolutions: 32-bit sums and biases, codes to codes by dyadic factors. A style of it: only its abstract was
 * at hand, which is about speech; residual additions stay fp32, and calibration images are what {@code --calibration} names instead of
 * ones made from batch norm's statistics, which super-resolution networks do not have.
 */
final class QAsr {
    private QAsr() {}

    static Recipe recipe() {
        return new Recipe(
                "q-asr-style",
                "Kim et al., Q-ASR: integer-only zero-shot quantization for speech recognition (2021)",
                Recipe.Fidelity.STYLE,
                "convolutions in integers alone: 32-bit sums and biases, codes to codes by dyadic factors; for 8 bits",
                List.of(
                        new CalibrateWeights(new MinMax(), true),
                        new CalibrateActivations(new MeanSquaredError(90)),
                        new ConstrainBounds(BoundForm.SYMMETRIC, BoundForm.THROUGH_ZERO),
                        new IntegerOnly()));
    }
}
