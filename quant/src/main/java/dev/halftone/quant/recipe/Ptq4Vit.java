// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Recipe;
import dev.halftone.quant.Recipe.Fidelity;
import dev.halftone.quant.pass.SearchScales;
import java.util.List;

/** PTQ4ViT. */
final class Ptq4Vit {
    /** The paper has 3; the third changes hardly anything here. */
    private static final int ROUNDS = 2;

    private static final long SEED = 1;

    private Ptq4Vit() {}

    static Recipe recipe() {
        return new Recipe(
                "ptq4vit-style",
                "Yuan et al., PTQ4ViT (ECCV 2022)",
                Fidelity.STYLE,
                "two ranges behind softmax and GELU; all steps searched by the layer's error, where the output depends on it",
                List.of(new SearchScales(ROUNDS, SEED)));
    }
}
