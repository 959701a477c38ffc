// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import java.time.Duration;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** How long a recipe trains, where it does. */
final class LengthOptions {
    @Option(
            names = "--steps",
            paramLabel = "N",
            description =
                    "Training steps, where a recipe trains (without it and --budget: quantize trains the recipe's own, 400 for the default one, and a quarter of them for SwinIR; compare 20s).")
    private @Nullable Long steps;

    @Option(
            names = "--budget",
            paramLabel = "TIME",
            converter = TimeSpan.Converter.class,
            description = {
                "Instead of --steps: train for about this long, like 90s, 10m or 1h. A few steps are timed first, and the number that fits is trained and recorded.",
                "The same --steps give the same bytes."
            })
    private @Nullable TimeSpan budget;

    /** Refuses options that contradict each other. */
    void check() {
        if (steps != null && budget != null) {
            throw new UsageException("--steps and --budget each say how long to train; give one of them");
        }
        if (steps != null && steps < 1) {
            throw new UsageException("--steps must be at least 1, not " + steps);
        }
    }

    /** Returns the steps that were asked for, or null. */
    @Nullable
    Long steps() {
        return steps;
    }

    /** Returns the time that was asked for, or null. */
    @Nullable
    Duration budget() {
        return budget == null ? null : budget.duration();
    }
}
