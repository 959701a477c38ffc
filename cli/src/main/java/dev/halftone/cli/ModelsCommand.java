// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.Zoo;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

/** Lists the bundled checkpoints. */
@Command(name = "models", description = "List the bundled models.")
final class ModelsCommand implements Callable<Integer> {
    private final Console console;

    ModelsCommand(Console console) {
        this.console = console;
    }

    @Override
    public Integer call() {
        if (console.json()) {
            console.print(Json.ofCommand("models")
                    .put(
                            "models",
                            Zoo.entries().stream()
                                    .map(entry -> new Json()
                                            .put("name", entry.name())
                                            .put("scale", entry.scale())
                                            .put("description", entry.description())
                                            .entries())
                                    .toList()));
        } else {
            for (Zoo.Entry entry : Zoo.entries()) {
                boolean first = Zoo.find(entry.name(), 0).equals(Optional.of(entry));
                String note = !first ? "" : entry.name().equals(UpscaleCommand.MODEL) ? " (default of upscale)" : "";
                console.print("%-16s x%d  %s%s", entry.name(), entry.scale(), entry.description(), note);
            }
            console.print("A name stands for the first of its entries; --scale chooses another.");
        }
        return ExitCode.OK;
    }
}
