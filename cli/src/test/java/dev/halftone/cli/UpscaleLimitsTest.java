// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.halftone.models.image.ImageFiles;
import dev.halftone.models.procedural.ProceduralImages;
import java.awt.image.BufferedImage;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Processes that run out of something. */
final class UpscaleLimitsTest {
    @TempDir
    private Path folder;

    private Path err() {
        return folder.resolve("err");
    }

    private int upscale(String heap, File out, Object... arguments) throws IOException, InterruptedException {
        List<String> words = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx" + heap,
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-Djava.awt.headless=true",
                "-Dhalftone.kernels=scalar",
                "-cp",
                System.getProperty("java.class.path"),
                Main.class.getName(),
                "upscale"));
        for (Object argument : arguments) {
            words.add(argument.toString());
        }
        return new ProcessBuilder(words)
                .redirectOutput(out)
                .redirectError(err().toFile())
                .start()
                .waitFor();
    }

    @Test
    void aFullDeviceIsOneSentence() throws Exception {
        File full = new File("/dev/full");
        Assumptions.assumeTrue(full.exists(), "/dev/full is a device that is always full");
        Path input = folder.resolve("a.png");
        ImageFiles.write(input, ProceduralImages.image(1, 200, 200));
        assertThat(upscale("512m", full, input, "-o", "-", "-m", Samples.network(folder)))
                .isEqualTo(ExitCode.FAILED);
        assertThat(Files.readAllLines(err())).singleElement().asString().contains("standard output", "No space left");
    }

    @Test
    void aHeapThatIsTooSmallIsOneSentenceAndLeavesNothing() throws Exception {
        Path input = folder.resolve("large.jpg");
        ImageIO.write(new BufferedImage(4000, 4000, BufferedImage.TYPE_INT_RGB), "jpg", input.toFile());
        Path results = Files.createDirectory(folder.resolve("results"));
        Path network = Samples.network(folder);
        assertThat(upscale("40m", folder.resolve("out").toFile(), input, "-o", results.resolve("b.png"), "-m", network))
                .isEqualTo(ExitCode.FAILED);
        assertThat(Files.readAllLines(err())).singleElement().asString().contains("large.jpg", "memory", "--memory");
        assertThat(Samples.names(results)).isEmpty();
    }
}
