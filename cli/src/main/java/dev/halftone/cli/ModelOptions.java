// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.Zoo;
import dev.halftone.tensor.io.WeightFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Which network: a bundled one, with other weights if wanted, or a file. */
final class ModelOptions {
    @Parameters(index = "0", paramLabel = "MODEL", description = "A bundled model (see: models) or a model file.")
    private String name = "";

    @Option(names = "--weights", paramLabel = "FILE", description = "Take the weights from this checkpoint instead.")
    private @Nullable Path weights;

    @Option(names = "--scale", paramLabel = "S", description = "The upscaling factor (default: the model's).")
    private int scale;

    /** Returns what the user calls the model. */
    String name() {
        return name;
    }

    /** Returns the upscaling factor that was asked for, or 0. */
    int scale() {
        return scale;
    }

    /** Returns the name as part of a file name: of a file its name without the extension. */
    String stem() {
        String file = Path.of(name).getFileName().toString();
        int dot = file.lastIndexOf('.');
        return dot > 0 ? file.substring(0, dot) : file;
    }

    /** Reads the weights. */
    WeightFile read() throws IOException {
        if (weights == null) {
            return Zoo.read(name, scale);
        }
        if (Zoo.find(name, 0).isEmpty() && !Files.exists(Path.of(name))) {
            Zoo.read(name, 0); // says which models there are
        }
        return WeightFile.read(weights);
    }
}
