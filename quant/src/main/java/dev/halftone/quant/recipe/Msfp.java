// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Recipe;
import dev.halftone.quant.Recipe.Fidelity;
import dev.halftone.quant.pass.CalibrateFloats;
import dev.halftone.quant.pass.RoundToFloats;
import java.util.List;

/** Numbers of a few bits with a floating point. */
final class Msfp {
    private Msfp() {}

    static Recipe recipe() {
        return new Recipe(
                "msfp-style",
                "Zhao et al., Pioneering 4-Bit FP Quantization for Diffusion Models (CVPR 2025), MSFP",
                Fidelity.STYLE,
                "small floating-point formats, with a sign or with a zero point, whichever errs least; untrained",
                List.of(new CalibrateFloats(), new RoundToFloats()));
    }
}
