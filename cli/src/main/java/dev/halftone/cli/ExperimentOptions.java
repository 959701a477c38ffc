// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.ImageSource;
import dev.halftone.quant.Scope;
import dev.halftone.tensor.Compute;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Which layers are quantized, by which images, and on which the result is measured: what {@code quantize} and {@code compare} share. */
final class ExperimentOptions {
    /** Of {@code --calibration}: no folder, but the project's own images. A folder of that name is {@code ./procedural}. */
    private static final String PROCEDURAL = "procedural";

    @Option(
            names = "--scope",
            paramLabel = "SCOPE",
            description = "The layers: body, body+upsampler or all (default: ${DEFAULT-VALUE}).")
    private String scope = Scope.BODY.id();

    @Option(
            names = "--calibration",
            paramLabel = "DIR",
            description = {
                "Images that recipes learn from, directly in a folder: bounds are chosen and weights trained on patches of them made smaller. Every fifth is held back to check what is learned.",
                "Without a folder, or with the word procedural, no photograph is needed: images that the project draws itself."
            })
    private String calibration = PROCEDURAL;

    @Option(
            names = "--images",
            paramLabel = "DIR",
            description = {
                "High-resolution images to measure on, directly in a folder (default: the project's own).",
                "Of both: .png, .jpg, .bmp, .tif, .gif, .webp."
            })
    private @Nullable Path images;

    @Option(
            names = "--seed",
            paramLabel = "N",
            description = "Of the choice of calibration patches (default: ${DEFAULT-VALUE}).")
    private long seed = 1;

    /** Returns what the user calls the layers. */
    String scope() {
        return scope;
    }

    /** Returns the layers, or refuses an unknown name. */
    Scope layers() {
        return Scope.parse(scope)
                .orElseThrow(() -> new UsageException("--scope must be "
                        + Arrays.stream(Scope.values()).map(Scope::id).collect(Collectors.joining(", "))
                        + ", not '" + scope + "'"));
    }

    /** Reads the images to learn from. */
    Calibration calibration(Compute compute, int scale) throws IOException {
        return Calibration.open(compute, isProcedural() ? null : Path.of(calibration), scale, seed);
    }

    /** Returns the folder of the images to learn from, or {@code generated}. */
    String calibrationName() {
        return isProcedural() ? "generated" : calibration;
    }

    /** Returns what images were learned from, without saying where they are. */
    String calibrationKind() {
        return isProcedural() ? "generated" : "photographs";
    }

    private boolean isProcedural() {
        return calibration.equals(PROCEDURAL);
    }

    /** Returns the images to measure on. */
    List<ImageSource> measured() throws IOException {
        return Images.forEvaluation(images);
    }

    /** Returns what the choice of calibration patches begins with. */
    long seed() {
        return seed;
    }
}
