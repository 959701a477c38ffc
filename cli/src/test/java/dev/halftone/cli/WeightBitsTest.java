// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A file with weights of any width, opened by the commands. */
final class WeightBitsTest {
    @TempDir
    private Path folder;

    private Path images = Path.of("");
    private Path model = Path.of("");
    private Map<String, Object> quantized = Map.of();

    @BeforeEach
    void writeModel() throws IOException {
        images = Samples.images(folder);
        model = folder.resolve("any.safetensors");
        quantized = Run.of(
                        "quantize",
                        "edsr",
                        "w4a8",
                        "--weights",
                        Samples.network(folder),
                        "--images",
                        images,
                        "--recipe",
                        "one-model-style",
                        "-o",
                        model,
                        "--json")
                .json();
    }

    private double psnr(Object... more) {
        Map<String, Object> json = Run.of(new Object[] {"evaluate", model, "--images", images, "--json"}, more)
                .json();
        return (double) Run.value(json, "mean", "psnr");
    }

    @Test
    void evaluateOpensItAtTheWidthAskedFor() {
        assertThat(psnr()).isEqualTo(Run.value(quantized, "psnr", "quantized"));
        assertThat(psnr("--weight-bits", 4)).isEqualTo(psnr());
        assertThat(psnr("--weight-bits", 1)).isNotEqualTo(psnr());
        assertThat(psnr("--weight-bits", 8)).isNotEqualTo(psnr());
    }

    @Test
    void upscaleOpensItAtTheWidthAskedFor() throws IOException {
        byte[][] results = new byte[3][];
        for (int i = 0; i < 3; i++) {
            Path output = folder.resolve(i + ".png");
            Object[] width = i == 0 ? new Object[0] : new Object[] {"--weight-bits", i == 1 ? 4 : 1};
            Run.of(new Object[] {"upscale", images.resolve("a.png"), "-m", model, "-o", output}, width)
                    .assertSucceeded();
            results[i] = Files.readAllBytes(output);
        }
        assertThat(results[1]).isEqualTo(results[0]);
        assertThat(results[2]).isNotEqualTo(results[0]);
    }

    @Test
    void inspectTellsTheWidths() {
        assertThat(Run.of("inspect", model).out())
                .contains("weights: of any width from 1 to 8 bits, 4 unless --weight-bits says otherwise");
        assertThat(Run.of("inspect", "--json", model).json())
                .containsEntry("weightBits", Map.of("default", 4, "least", 1, "most", 8));
    }

    @Test
    void otherFilesAndWidthsAreRefused() {
        Run.of("evaluate", "edsr-2bit", "--images", images, "--weight-bits", 3)
                .assertFailed(ExitCode.BAD_INPUT, "edsr-2bit", "one width each", "one-model-style");
        Run.of("evaluate", "edsr-small", "--images", images, "--weight-bits", 3)
                .assertFailed(ExitCode.BAD_INPUT, "one width each");
        Run.of("evaluate", model, "--images", images, "--weight-bits", 9)
                .assertFailed(ExitCode.USAGE, "--weight-bits", "1 to 8", "9");
        Run.of("upscale", images.resolve("a.png"), "-m", model, "-o", folder.resolve("b.png"), "--weight-bits", 0)
                .assertFailed(ExitCode.USAGE, "--weight-bits", "0");
        assertThat(Files.exists(folder.resolve("b.png"))).isFalse();
    }
}
