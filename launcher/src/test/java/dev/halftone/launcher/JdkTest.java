// SPDX-License-Identifier: Apache-2.0
package dev.halftone.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class JdkTest {
    @TempDir
    private Path folder;

    @Test
    void readsTheReleaseFileWithoutStartingTheJdk() throws IOException {
        Path home = jdk(folder.resolve("a"), "JAVA_VERSION=\"25.0.3\"\nMODULES=\"java.base jdk.incubator.vector\"\n");
        assertThat(Jdk.at(home)).contains(new Jdk(home, 25));
        assertThat(Jdk.at(jdk(folder.resolve("b"), "JAVA_VERSION=\"26\"\n")))
                .hasValueSatisfying(jdk -> assertThat(jdk.feature()).isEqualTo(26));
    }

    @Test
    void findsTheHomeInsideAMacBundle() throws IOException {
        Path home = jdk(folder.resolve("temurin.jdk/Contents/Home"), "JAVA_VERSION=\"25\"\n");
        assertThat(Jdk.at(folder.resolve("temurin.jdk"))).contains(new Jdk(home, 25));
    }

    @Test
    void refusesWhatCannotRunHalftone() throws IOException {
        assertThat(Jdk.at(folder)).as("no release file").isEmpty();
        assertThat(Jdk.at(jdk(folder.resolve("c"), "JAVA_VERSION=\"25\"\nMODULES=\"java.base\"\n")))
                .as("a runtime image without the Vector API")
                .isEmpty();
        assertThat(Jdk.at(jdk(folder.resolve("d"), "JAVA_VERSION=\"\"\n"))).isEmpty();
        Path noCommand = jdk(folder.resolve("e"), "JAVA_VERSION=\"25\"\n");
        Files.delete(noCommand.resolve("bin/java"));
        assertThat(Jdk.at(noCommand)).isEmpty();
    }

    @Test
    void prefersTheRunningJdkThenTheNamedOnesThenTheOldestInstalledOne() throws IOException {
        Path old = jdk(folder.resolve("old"), "JAVA_VERSION=\"17.0.1\"\n");
        Path running = jdk(folder.resolve("running"), "JAVA_VERSION=\"27\"\n");
        Path named = jdk(folder.resolve("named"), "JAVA_VERSION=\"26\"\n");
        Path user = folder.resolve("user");
        Path chained = jdk(folder.resolve("chained"), "JAVA_VERSION=\"26\"\n");
        Path installed = jdk(user.resolve(".jdks/temurin"), "JAVA_VERSION=\"25\"\n");
        jdk(user.resolve(".sdkman/candidates/java/next"), "JAVA_VERSION=\"26\"\n");

        Map<String, String> environment =
                Map.of("JAVA_HOME", old.toString(), "JDK26_HOME", named.toString(), "HOME", "x");
        assertThat(Jdk.find(running, environment, user)).contains(new Jdk(running, 27));
        assertThat(Jdk.find(old, environment, user)).contains(new Jdk(named, 26));

        assertThat(Jdk.find(old, Map.of("JAVA_HOME", old.toString()), user)).hasValueSatisfying(jdk -> {
            assertThat(jdk.feature()).isEqualTo(25);
            assertThat(jdk.home()).as("those of the user come first").isEqualTo(installed);
        });

        Files.createDirectories(user.resolve(".m2"));
        Files.writeString(
                user.resolve(".m2/toolchains.xml"), "<toolchains><jdkHome> " + chained + "\n</jdkHome></toolchains>");
        assertThat(Jdk.find(old, Map.of(), user)).contains(new Jdk(chained, 26));
    }

    private static Path jdk(Path home, String release) throws IOException {
        Files.createDirectories(home.resolve("bin"));
        Files.writeString(home.resolve("release"), release);
        Files.writeString(home.resolve("bin/java"), "");
        assertThat(home.resolve("bin/java").toFile().setExecutable(true)).isTrue();
        return home;
    }
}
