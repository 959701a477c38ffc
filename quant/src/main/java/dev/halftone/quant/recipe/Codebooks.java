// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Pass;
import dev.halftone.quant.Recipe;
import dev.halftone.quant.Recipe.Fidelity;
import dev.halftone.quant.calibration.Dobi;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.PowerQuant;
import dev.halftone.quant.pass.Reconstruct;
import dev.halftone.quant.pass.Reconstruct.Learned;
import dev.halftone.quant.pass.Reconstruct.Part;
import dev.halftone.quant.pass.RoundGroups;
import java.util.ArrayList;
import java.util.List;

/** Weights on tables of levels; activations have the bounds of {@code dobi}. */
final class Codebooks {
    /** Of a group of {@code rtn-group}: eight channels of a 3 x 3 kernel. */
    private static final int INPUTS = 72;

    /** For the whole network, as those of {@link Reconstructed}. */
    private static final long STEPS = 800;

    private Codebooks() {}

    static List<Recipe> recipes() {
        return List.of(
                recipe(
                        "rtn-group",
                        "common baseline",
                        Fidelity.COMMON,
                        "rounding to the nearest, a min-max grid for each group of up to 72 inputs; needs no data",
                        new RoundGroups(INPUTS)),
                recipe(
                        "powerquant-style",
                        "Yvinec et al., PowerQuant (ICLR 2023)",
                        Fidelity.STYLE,
                        "a power of the weights on a uniform grid, one exponent for the network; needs no data",
                        new PowerQuant(false, 1)),
                recipe(
                        "nupes-style",
                        "Yvinec et al., NUPES (2023)",
                        Fidelity.STYLE,
                        "a power for each layer, then the nearest level or one beside it as is best for each block's output",
                        new PowerQuant(true, 29),
                        new Reconstruct(STEPS, Part.BLOCK, Learned.ROUNDING, false, 0, false, 0)));
    }

    private static Recipe recipe(String id, String paper, Fidelity fidelity, String summary, Pass... weights) {
        List<Pass> passes = new ArrayList<>(List.of(new CalibrateActivations(new Dobi(Dobi.Variant.AUTO))));
        passes.addAll(List.of(weights));
        return new Recipe(id, paper, fidelity, summary, passes);
    }
}
