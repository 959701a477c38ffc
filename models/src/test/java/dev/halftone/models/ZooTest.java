// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class ZooTest {
    static Stream<Zoo.Entry> entries() {
        return Zoo.entries().stream();
    }

    private static byte[] resource(String name) throws IOException {
        try (InputStream in = Objects.requireNonNull(Zoo.class.getResourceAsStream(name), name)) {
            return in.readAllBytes();
        }
    }

    @ParameterizedTest
    @MethodSource("entries")
    void everyCheckpointOpensUnderItsName(Zoo.Entry entry) throws IOException {
        assertThat(Zoo.open(entry.name(), entry.scale()).scale()).isEqualTo(entry.scale());
    }

    @ParameterizedTest
    @MethodSource("entries")
    void theCardIsAboutThisCheckpoint(Zoo.Entry entry) throws IOException, NoSuchAlgorithmException {
        String card = new String(resource(entry.resource().replace(".safetensors", ".md")), StandardCharsets.UTF_8);
        byte[] digest = MessageDigest.getInstance("SHA-256").digest(resource(entry.resource()));
        assertThat(card)
                .startsWith("# " + entry.name() + " x" + entry.scale() + "\n")
                .contains(HexFormat.of().formatHex(digest));
    }
}
