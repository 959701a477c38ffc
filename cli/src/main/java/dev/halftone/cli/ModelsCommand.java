// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.Zoo;
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
            Zoo.entries()
                    .forEach(entry -> console.print("%-16s x%d  %s", entry.name(), entry.scale(), entry.description()));
        }
        return ExitCode.OK;
    }
}
