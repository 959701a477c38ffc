// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.Safetensors;
import dev.halftone.tensor.io.StoredTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class InspectCommandTest {
    @TempDir
    private Path folder;

    @Test
    void listsEveryTensorWithItsRange() throws IOException {
        Path file = write(Tensor.of(new float[] {-1.5f, Float.NaN, 4, 0.5f}, 2, 2), Tensor.zeros(0, 3));
        Run text = Run.of("inspect", file);
        assertThat(text.exitCode()).isZero();
        assertThat(text.out())
                .contains("safetensors", "2 tensors", "16 bytes", "network: none", "metadata: made by = a?[31mtest")
                .containsPattern("a\\.weight +F32 +\\[2, 2] +-1\\.5000 +4\\.0000 +1\\.0000 +1\\R")
                .containsPattern("b +F32 +\\[0, 3] +- +- +- +0\\R");

        Map<String, Object> json = Run.of("inspect", "--json", file).json();
        assertThat(json)
                .containsEntry("format", "safetensors")
                .containsEntry("bytes", 16)
                .containsEntry("network", null)
                .containsEntry("metadata", Map.of("made by", "a\033[31mtest"));
        assertThat(json.get("tensors"))
                .asInstanceOf(org.assertj.core.api.InstanceOfAssertFactories.LIST)
                .first()
                .asInstanceOf(Run.OBJECT)
                .containsEntry("name", "a.weight")
                .containsEntry("shape", List.of(2, 2))
                .containsEntry("nan", 1)
                .containsEntry("mean", 1.0);
    }

    @Test
    void refusesWhatIsNoWeightFile() throws IOException {
        Run.of("inspect", folder).assertFailed(ExitCode.BAD_INPUT, folder.toString());
        Path text = Files.writeString(folder.resolve("text.pth"), "hello, world");
        Run.of("inspect", text).assertFailed(ExitCode.BAD_INPUT, "text.pth");
        Path truncated = folder.resolve("truncated.safetensors");
        byte[] whole = Files.readAllBytes(write(Tensor.zeros(4), Tensor.zeros(4)));
        Files.write(truncated, java.util.Arrays.copyOf(whole, whole.length - 1));
        Run.of("inspect", "--json", truncated).assertFailed(ExitCode.BAD_INPUT, "truncated.safetensors");
    }

    @Test
    void saysThatAnImageIsOne() throws IOException {
        Path image = Samples.images(folder).resolve("a.png");
        Run.of("inspect", image).assertFailed(ExitCode.BAD_INPUT, "a.png is a PNG image", ".safetensors");
    }

    @Test
    void refusesEveryDamagedOrMaliciousFile() throws IOException {
        Path bad = Path.of(System.getProperty("halftone.root"), "test-data/golden/bad");
        List<String> names = Samples.names(bad);
        assertThat(names).hasSizeGreaterThanOrEqualTo(30);
        for (String name : names) {
            Run.of("inspect", bad.resolve(name)).assertFailed(ExitCode.BAD_INPUT, name);
        }
    }

    private Path write(Tensor a, Tensor b) throws IOException {
        Path file = folder.resolve("weights.safetensors");
        Safetensors.write(
                file,
                Map.of("made by", "a\033[31mtest"),
                List.of(StoredTensor.of("a.weight", a), StoredTensor.of("b", b)));
        return file;
    }
}
