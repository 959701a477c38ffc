// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.tensor.io.InvalidFileException;
import dev.halftone.testing.Fuzzing;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(value = 300, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
public final class ManifestFuzzTest {
    private static final Path FILE = Path.of("halftone-manifest.jsonl");

    public static void fuzzerTestOneInput(byte[] input) {
        Fuzzing.bounded(100L * input.length + 1_000_000, () -> {
            try {
                Manifest manifest = Manifest.parse(FILE, input);
                manifest.entries().forEach((output, entry) -> {
                    if (!output.equals(entry.output())) {
                        throw new AssertionError("an entry is under a name that is not its own");
                    }
                });
            } catch (InvalidFileException e) {
                Fuzzing.requireSentence(e, FILE);
            }
        });
    }

    static List<byte[]> seeds() throws IOException {
        List<byte[]> seeds = new ArrayList<>(Fuzzing.files("fuzz/manifest"));
        Path file = Files.createTempFile("halftone-fuzz-", ".jsonl");
        Manifest manifest = Manifest.of(Map.of("version", "1", "model", "edsr", "factor", "0.0"));
        for (String name : new String[] {"a.png", "sub/b.png", "\u00fc\n\".jpg"}) {
            manifest.write(file, manifest.entries().values());
            seeds.add(Files.readAllBytes(file));
            manifest.append(file, new Manifest.Entry(name, "0".repeat(64), "1".repeat(64)));
        }
        Files.delete(file);
        return seeds;
    }

    @Test
    void damagedFilesAreReadOrRefused() throws IOException {
        List<byte[]> tokens = Stream.of(
                        "{",
                        "}",
                        "[",
                        "[[[[[[[[",
                        "\"output\":",
                        "\"settings\":{}",
                        "null",
                        "1e999999999",
                        "\\ud800",
                        "\n",
                        "{}\n",
                        "\"\":\"\",")
                .map(token -> token.getBytes(StandardCharsets.UTF_8))
                .toList();
        Fuzzing.run(seeds(), tokens, ManifestFuzzTest::fuzzerTestOneInput);
    }
}
