// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.jr.ob.JSON;
import dev.halftone.tensor.io.WeightFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** {@code quantize --target-bits} and {@code --target-size}. */
final class QuantizeToTargetTest {
    @TempDir
    private Path folder;

    private Path network = Path.of("");
    private Path images = Path.of("");
    private Path output = Path.of("");

    @BeforeEach
    void writeInputs() throws IOException {
        network = Samples.network(folder);
        images = Samples.images(folder);
        output = folder.resolve("out.safetensors");
    }

    private Run quantize(Object... more) {
        return Run.of(
                new Object[] {
                    "quantize", "edsr", "--weights", network, "--images", images, "--recipe", "dobi", "-o", output
                },
                more);
    }

    @ParameterizedTest
    @ValueSource(strings = {"mixquant", "fmpq", "mlorq", "diffq"})
    void theFileHasNoMoreBitsThanAskedFor(String method) throws IOException {
        Map<String, Object> json =
                quantize("--target-bits", 3.6, "--allocate", method, "--json").json();
        assertThat((double) Run.value(json, "effectiveBitsPerWeight")).isBetween(2.9, 3.6);
        assertThat((double) Run.value(json, "bits", "weight")).isBetween(1.8, 2.6);
        assertThat((double) Run.value(json, "bits", "activation")).isBetween(1.5, 2.6);
        assertThat(WeightFile.read(output).metadata())
                .containsEntry("weight_bits", Run.value(json, "bits", "weight").toString());
        Map<String, Object> evaluated =
                Run.of("evaluate", output, "--images", images, "--json").json();
        assertThat(Run.value(evaluated, "mean", "psnr")).isEqualTo(Run.value(json, "psnr", "quantized"));
    }

    @Test
    void theFileHasNoMoreBytesThanAskedFor() throws IOException {
        long most = 0;
        for (String size : List.of("18.3k", "19000")) {
            quantize("--target-size", size).assertSucceeded();
            long bytes = Files.size(output);
            assertThat(bytes)
                    .as(size)
                    .isGreaterThanOrEqualTo(most)
                    .isLessThanOrEqualTo(new AllocationOptions.SizeConverter().convert(size));
            most = bytes;
        }
        assertThat(most).as("it is used").isGreaterThan(18_600);
    }

    @Test
    void bitsThatAreGivenAreThoseOfInputs() throws IOException {
        Path report = folder.resolve("report.json");
        Run.of(
                        "quantize",
                        "edsr",
                        "w2a4",
                        "--weights",
                        network,
                        "--images",
                        images,
                        "--recipe",
                        "dobi",
                        "-o",
                        output,
                        "--target-bits",
                        3.6,
                        "--report",
                        report)
                .assertSucceeded();
        assertThat((List<?>) JSON.std.mapFrom(Files.readString(report)).get("layers"))
                .allSatisfy(layer -> assertThat(layer).asInstanceOf(Run.OBJECT).containsEntry("activationBits", 4));
    }

    @Test
    void refusesWhatDoesNotFit() throws IOException {
        Run.of("quantize", "edsr").assertFailed(ExitCode.USAGE, "2bit", "--target-bits");
        quantize("--target-bits", 3, "--target-size", "20k").assertFailed(ExitCode.USAGE, "one of them");
        quantize("--target-bits", 1.2).assertFailed(ExitCode.FAILED, "1.200 bits per weight are too few", "2.000");
        quantize("--target-bits", 0.5).assertFailed(ExitCode.USAGE, "1 to 16");
        quantize("2bit", "--allocate", "fmpq").assertFailed(ExitCode.USAGE, "--allocate", "budget");
        quantize("--target-bits", 3, "--allocate", "magic").assertFailed(ExitCode.USAGE, "magic", "mlorq");
        quantize("--target-size", "20x").assertFailed(ExitCode.USAGE, "20x", "900k");
        quantize("--target-size", "10k").assertFailed(ExitCode.USAGE, "too small", "--scope all");
        // Its channels are normalised, which takes more bits than codes and bounds.
        quantize("--target-bits", 3.6, "--recipe", "noisyquant").assertFailed(ExitCode.USAGE, "noisyquant", "3.6");
        assertThat(Samples.names(folder)).containsExactly("images", "tiny.safetensors");
    }
}
