// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.Edsr;
import dev.halftone.models.EdsrConfig;
import dev.halftone.models.Training;
import dev.halftone.models.image.ImageFiles;
import dev.halftone.models.procedural.ProceduralImages;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.Stream;

/** Small inputs that the tests of the commands share. */
final class Samples {
    private Samples() {}

    /** Writes an untrained EDSR x2 of two blocks. */
    static Path network(Path folder) throws IOException {
        Path file = folder.resolve("tiny.safetensors");
        Training.export(
                new Edsr(new EdsrConfig(2, 8, 2, 1)).initialize(new SplittableRandom(3)),
                Map.of("made by", "a test"),
                file);
        return file;
    }

    /** Writes images {@code a.png} and {@code b.png} of 100 x 96 and 96 x 97 pixels into a folder of their own. */
    static Path images(Path folder) throws IOException {
        Path images = Files.createDirectory(folder.resolve("images"));
        ImageFiles.write(images.resolve("a.png"), ProceduralImages.image(5, 96, 100));
        ImageFiles.write(images.resolve("b.png"), ProceduralImages.image(6, 97, 96));
        return images;
    }

    /** Returns the names of a folder's files, hidden ones too. */
    static List<String> names(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(f -> f.getFileName().toString()).sorted().toList();
        }
    }
}
