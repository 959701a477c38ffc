// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Recipe;
import dev.halftone.quant.Recipe.Fidelity;
import dev.halftone.quant.calibration.Dobi;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.NestBits;
import java.util.List;

/**
 * One file of weights that is opened at any width (after One-Model-for-All, which trains a network for it). Activations have bounds of one
 * width, those of {@code dobi}, whatever the weights are opened at.
 */
final class OneModel {
    private OneModel() {}

    static Recipe recipe() {
        Dobi dobi = new Dobi(Dobi.Variant.AUTO);
        return new Recipe(
                "one-model-style",
                "One Model for All: hot-swapped bit widths",
                Fidelity.STYLE,
                "8-bit codes whose first bits are codes of any smaller width, chosen when the file is opened; no training",
                List.of(new CalibrateActivations(dobi), new NestBits(dobi)));
    }
}
