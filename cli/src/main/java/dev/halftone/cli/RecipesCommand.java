// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.quant.Pass;
import dev.halftone.quant.Recipe;
import dev.halftone.quant.recipe.Recipes;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;

/** Lists the quantization algorithms. */
@Command(name = "recipes", description = "List the quantization recipes and where they come from.")
final class RecipesCommand implements Callable<Integer> {
    private final Console console;

    RecipesCommand(Console console) {
        this.console = console;
    }

    @Override
    public Integer call() {
        if (console.json()) {
            List<String> passes = Recipes.all().stream()
                    .flatMap(recipe -> recipe.passes().stream())
                    .map(Pass::id)
                    .distinct()
                    .toList();
            console.print(Json.ofCommand("recipes")
                    .put(
                            "recipes",
                            Recipes.all().stream().map(RecipesCommand::json).toList())
                    .put(
                            "passes",
                            passes.stream()
                                    .map(id -> new Json().put("id", id).entries())
                                    .toList()));
        } else {
            Recipe standard = Recipes.all().getFirst();
            for (Recipe recipe : Recipes.all()) {
                console.print("%-16s %s%s", recipe.id(), recipe.equals(standard) ? "(default) " : "", recipe.summary());
                console.print("%-16s from %s (%s)", "", recipe.paper(), fidelity(recipe));
            }
        }
        return ExitCode.OK;
    }

    private static Map<String, @Nullable Object> json(Recipe recipe) {
        return new Json()
                .put("id", recipe.id())
                .put("paper", recipe.paper())
                .put("fidelity", fidelity(recipe))
                .put("summary", recipe.summary())
                .put("passes", recipe.passes().stream().map(Pass::id).toList())
                .entries();
    }

    private static String fidelity(Recipe recipe) {
        return recipe.fidelity().name().toLowerCase(Locale.ROOT);
    }
}
