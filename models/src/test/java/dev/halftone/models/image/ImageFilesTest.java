// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.models.procedural.ProceduralImages;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.InvalidFileException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ImageFilesTest {
    private static final Tensor IMAGE = ProceduralImages.image(7, 23, 31);

    @TempDir
    Path folder;

    @ParameterizedTest
    @ValueSource(strings = {"png", "bmp"})
    void losslessFormatsRoundTrip(String format) throws Exception {
        Path file = folder.resolve("a." + format);
        ImageFiles.write(file, IMAGE);
        assertThat(ImageFiles.read(file).rgb().toArray()).isEqualTo(IMAGE.toArray());
    }

    @Test
    void jpegIsClose() throws Exception {
        Path file = folder.resolve("a.jpg");
        Tensor smooth = Tensor.zeros(40, 40, 3).fill(100);
        ImageFiles.write(file, smooth);
        for (float v : ImageFiles.read(file).rgb().toArray()) {
            assertThat(v).isBetween(98f, 102f);
        }
    }

    @Test
    void refusesWhatIsNoImage() throws Exception {
        Path text = Files.writeString(folder.resolve("text.png"), "not an image");
        assertThatThrownBy(() -> ImageFiles.read(text))
                .isInstanceOf(InvalidFileException.class)
                .hasMessage(text + " is not a PNG, JPEG or BMP image");
        assertThatThrownBy(() -> ImageFiles.read(folder.resolve("none.png")))
                .isInstanceOf(InvalidFileException.class)
                .hasMessageEndingWith("does not exist");
        assertThatThrownBy(() -> ImageFiles.read(folder)).isInstanceOf(InvalidFileException.class);
        assertThatThrownBy(() -> ImageFiles.write(folder.resolve("a.webp"), IMAGE))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void aFailedWriteLeavesNothing() throws Exception {
        Path target = Files.createDirectory(folder.resolve("taken.png"));
        assertThatThrownBy(() -> ImageFiles.write(target, IMAGE)).isInstanceOf(IOException.class);
        assertThatThrownBy(() -> ImageFiles.write(folder.resolve("missing/a.png"), IMAGE))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("does not exist");
        try (Stream<Path> left = Files.list(folder)) {
            assertThat(left).containsExactly(target);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"png", "bmp", "jpg"})
    @Timeout(120)
    void damagedFilesAreRefusedOrRead(String format) throws Exception {
        long seed = 4711;
        SplittableRandom random = new SplittableRandom(seed);
        Path file = folder.resolve("a." + format);
        ImageFiles.write(file, IMAGE);
        byte[] good = Files.readAllBytes(file);
        int refused = 0;
        for (int i = 0; i < 400; i++) {
            byte[] bytes = good.clone();
            for (int k = random.nextInt(1, 8); k > 0; k--) {
                bytes[random.nextInt(random.nextBoolean() ? Math.min(64, bytes.length) : bytes.length)] =
                        (byte) random.nextInt(256);
            }
            Files.write(file, random.nextInt(4) == 0 ? Arrays.copyOf(bytes, random.nextInt(bytes.length)) : bytes);
            try {
                ImageFiles.read(file);
            } catch (InvalidFileException e) {
                refused++;
                assertThat(e.getMessage()).as("seed %d, mutant %d", seed, i).startsWith(file.toString());
            }
        }
        assertThat(refused).isPositive();
    }
}
