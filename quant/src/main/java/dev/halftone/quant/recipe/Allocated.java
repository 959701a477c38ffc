// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Pass;
import dev.halftone.quant.Recipe;
import dev.halftone.quant.Recipe.Fidelity;
import dev.halftone.quant.pass.AllocateBits;
import dev.halftone.quant.pass.AllocateBits.Method;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;

/** The default recipe with bits of its own for every layer, at the size of the same bits for all. */
final class Allocated {
    private Allocated() {}

    static List<Recipe> recipes() {
        return List.of(
                recipe(
                        Method.MIXQUANT,
                        "Kloberdanz and Le, MixQuant (2023)",
                        "bits by the roundoff errors of weights and inputs alone, then the default recipe"),
                recipe(
                        Method.FMPQ,
                        "flexible mixed precision quantization (FMPQ) for learned image compression",
                        "bits by one limit of what quantizing a layer does to the output, then the default recipe"),
                recipe(
                        Method.MLORQ,
                        "Gordon et al., MLoRQ (2025)",
                        "bits by the least sum of what quantizing layers does to the output, then the default recipe"),
                recipe(
                        "mlorq-ranks-style",
                        Method.MLORQ,
                        true,
                        "Gordon et al., MLoRQ (2025)",
                        "mlorq-style, where weights may also become products of two factors of lower rank, which are not trained"),
                recipe(
                        Method.DIFFQ,
                        "Defossez et al., DiffQ (TMLR 2022)",
                        "bits learned as real numbers, with noise in the place of rounding, then the default recipe"));
    }

    private static Recipe recipe(Method method, String paper, String summary) {
        return recipe(method.id() + "-style", method, false, paper, summary);
    }

    private static Recipe recipe(String id, Method method, boolean ranks, String paper, String summary) {
        List<Pass> passes = new ArrayList<>();
        passes.add(new AllocateBits(method, OptionalDouble.empty(), ranks, true));
        passes.addAll(DobiDistill.recipe().passes());
        return new Recipe(id, paper, Fidelity.STYLE, summary, passes);
    }
}
