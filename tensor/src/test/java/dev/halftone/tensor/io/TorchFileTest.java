// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.sun.management.ThreadMXBean;
import dev.halftone.testing.Golden;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

class TorchFileTest {
    private static final Path PTH = Golden.folder().resolve("pth");
    private static final Path BAD = Golden.folder().resolve("bad");

    @ParameterizedTest
    @CsvSource({
        "pth_params_zip, pth_content, params", "pth_params_legacy, pth_content, params",
        "pth_bare_zip, pth_content, ''", "pth_bare_legacy, pth_content, ''",
        "pth_params_zip_proto4, pth_content, params", "pth_checkpoint_zip, pth_extra_content, params",
        "pth_checkpoint_legacy, pth_extra_content, params", "pth_edsr_state_zip, pth_edsr_state, ''",
        "pth_edsr_state_legacy, pth_edsr_state, ''", "pth_edsr_state_legacy_v1, pth_edsr_state, ''"
    })
    void equalsItsContentBitForBit(String name, String content, String section) throws Exception {
        WeightFile file = WeightFile.read(PTH.resolve(name + ".pth"));
        assertThat(file.format()).isEqualTo(name.contains("legacy") ? "pytorch-legacy" : "pytorch-zip");
        Map<String, StoredTensor> expected =
                Safetensors.read(PTH.resolve(content + ".safetensors")).tensors();
        Map<String, StoredTensor> actual =
                section.isEmpty() ? file.tensors() : file.section(section).tensors();
        assertThat(actual.keySet()).containsExactlyInAnyOrderElementsOf(expected.keySet());
        expected.forEach((key, tensor) -> {
            StoredTensor other = Objects.requireNonNull(actual.get(key), key);
            assertThat(other.dtype()).as(key).isEqualTo(tensor.dtype());
            assertThat(other.shape()).as(key).isEqualTo(tensor.shape());
            assertThat(other.data().toArray(ValueLayout.JAVA_BYTE))
                    .as(key)
                    .isEqualTo(tensor.data().toArray(ValueLayout.JAVA_BYTE));
        });
    }

    @Test
    void prefersAveragedWeights() throws Exception {
        assertThat(WeightFile.read(PTH.resolve("pth_checkpoint_zip.pth"))
                        .stateDict()
                        .name())
                .isEqualTo("params_ema");
    }

    static List<Path> badFiles() throws Exception {
        try (Stream<Path> files = Files.list(BAD)) {
            return files.sorted().toList();
        }
    }

    @ParameterizedTest
    @MethodSource("badFiles")
    @Timeout(10)
    void refusesBadFilesWithoutMuchMemory(Path bad) throws Exception {
        // The first attempt loads classes.
        assertThatThrownBy(() -> WeightFile.read(bad)).isInstanceOf(InvalidFileException.class);
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long before = threads.getThreadAllocatedBytes(Thread.currentThread().threadId());
        String message = "";
        try {
            WeightFile.read(bad);
        } catch (InvalidFileException e) {
            message = e.getMessage();
        }
        long allocated = threads.getThreadAllocatedBytes(Thread.currentThread().threadId()) - before;
        assertThat(message).startsWith(bad.toString()).doesNotContain("\n");
        assertThat(allocated).isLessThan(10 * Files.size(bad) + 600_000);
    }

    @Test
    @Timeout(120)
    void mutatedFilesOnlyThrowTheDocumentedException(@TempDir Path folder) throws Exception {
        long seed = 20261121;
        SplittableRandom random = new SplittableRandom(seed);
        List<Path> sources;
        try (Stream<Path> files = Files.list(PTH)) {
            sources = files.sorted().toList();
        }
        Path target = folder.resolve("mutant");
        for (int i = 0; i < 4_000; i++) {
            byte[] bytes = Files.readAllBytes(sources.get(random.nextInt(sources.size())));
            for (int k = random.nextInt(1, 6); k > 0; k--) {
                bytes[random.nextInt(bytes.length)] = (byte) random.nextInt(256);
            }
            Files.write(target, random.nextInt(5) == 0 ? Arrays.copyOf(bytes, random.nextInt(bytes.length)) : bytes);
            try {
                WeightFile.read(target).tensors().values().forEach(StoredTensor::toTensor);
            } catch (InvalidFileException expected) {
                assertThat(expected.getMessage())
                        .as("seed %d, mutant %d", seed, i)
                        .startsWith(target.toString());
            } catch (RuntimeException | StackOverflowError e) {
                throw new AssertionError("seed " + seed + ", mutant " + i, e);
            }
        }
    }

    @Test
    void readsPublicWeights() throws Exception {
        String data = System.getenv("HALFTONE_DATA");
        assumeTrue(data != null, "HALFTONE_DATA is not set: no public weights to read");
        Path weights = Path.of(data, "weights", "edsr_n8_f64_x2.pt");
        assumeTrue(Files.exists(weights), weights + " is not there");
        WeightFile file = WeightFile.read(weights);
        assertThat(file.tensors()).hasSize(44).containsKey("body.7.body.2.weight");
    }
}
