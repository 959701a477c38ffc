// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import static org.assertj.core.api.Assertions.assertThat;

import java.awt.image.BufferedImage;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** The Java example of README, word for word, runs. */
class ReadmeTest {
    @Test
    void theExampleRuns() throws Exception {
        BufferedImage image = new BufferedImage(20, 12, BufferedImage.TYPE_INT_RGB);
        image.setRGB(5, 5, 0xFFFFFF);
        try (Upscaler upscaler = Upscaler.open("edsr")) {
            BufferedImage big = upscaler.upscale(image);
            assertThat(big.getWidth()).isEqualTo(40);
            assertThat(big.getHeight()).isEqualTo(24);
            assertThat(big.getRGB(11, 11) & 0xFF).isGreaterThan(big.getRGB(35, 3) & 0xFF);
        }
        String readme = Files.readString(Path.of(System.getProperty("halftone.root"), "README.md"));
        assertThat(readme)
                .contains("try (Upscaler upscaler = Upscaler.open(\"edsr\")) {")
                .contains("BufferedImage big = upscaler.upscale(image);");
    }
}
