// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Recipe;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** The recipes that there are. */
public final class Recipes {
    private static final List<Recipe> ALL = new ArrayList<>();

    static {
        ALL.add(DobiDistill.recipe());
        ALL.addAll(TwoDQuant.recipes());
        ALL.add(CondiQuant.recipe());
        ALL.addAll(Baselines.recipes());
        ALL.add(Ptq4Vit.recipe());
        ALL.add(Msfp.recipe());
        ALL.add(DbdcPac.recipe());
        ALL.add(Pams.recipe());
        ALL.addAll(PassionSr.recipes());
        ALL.addAll(WeightRounding.recipes());
        ALL.addAll(Transformed.recipes());
        ALL.addAll(Reconstructed.recipes());
        ALL.addAll(Lsq.recipes());
        ALL.addAll(Bypassed.recipes());
        ALL.addAll(Clq.recipes());
        ALL.add(Mixup.recipe());
        ALL.add(IsQuant.recipe());
        ALL.add(QAsr.recipe());
        ALL.addAll(Corrected.recipes());
        ALL.addAll(Equalized.recipes());
        ALL.addAll(Daq.recipes());
        ALL.add(AdaBm.recipe());
        ALL.addAll(Allocated.recipes());
        ALL.addAll(BinaryWeights.recipes());
        ALL.addAll(Codebooks.recipes());
        ALL.addAll(MixedParts.recipes());
        ALL.add(OneModel.recipe());
    }

    private Recipes() {}

    /** Returns all recipes; the first is the default. */
    public static List<Recipe> all() {
        return List.copyOf(ALL);
    }

    /** Returns the recipe with this id, or empty. */
    public static Optional<Recipe> byId(String id) {
        return ALL.stream().filter(r -> r.id().equals(id)).findFirst();
    }
}
