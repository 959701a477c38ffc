// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.halftone.models.image.ImageFiles;
import dev.halftone.models.procedural.ProceduralImages;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class ServeCommandTest {
    @TempDir
    private Path folder;

    @Test
    void controlCEndsAtOnceAndLeavesNothing() throws Exception {
        Assumptions.assumeTrue(Files.exists(Path.of("/bin/kill")), "/bin/kill sends the signal");
        Path temporary = Files.createDirectory(folder.resolve("tmp"));
        Path image = folder.resolve("image.png");
        ImageFiles.write(image, ProceduralImages.image(1, 1000, 1000));
        Process process = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Dhalftone.kernels=scalar",
                        "-Djava.io.tmpdir=" + temporary,
                        "-cp",
                        System.getProperty("java.class.path"),
                        Main.class.getName(),
                        "serve",
                        "--port",
                        "0",
                        Samples.network(folder).toString())
                .redirectError(folder.resolve("log").toFile())
                .start();
        try (BufferedReader out =
                        new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
                HttpClient client = HttpClient.newHttpClient()) {
            String line = out.readLine();
            assertThat(line)
                    .as(Files.readString(folder.resolve("log")))
                    .matches("http://127\\.0\\.0\\.1:\\d+/ \\(Ctrl-C ends it\\)");
            String url = line.substring(0, line.indexOf(' '));
            HttpRequest post = HttpRequest.newBuilder(URI.create(url + "api/jobs?model=0&bits=fp32"))
                    .POST(BodyPublishers.ofFile(image))
                    .build();
            assertThat(client.send(post, BodyHandlers.ofString()).statusCode()).isEqualTo(201);
            assertThat(Samples.names(temporary)).hasSize(1);

            new ProcessBuilder("/bin/kill", "-INT", Long.toString(process.pid()))
                    .start()
                    .waitFor();
            assertThat(process.waitFor(2, TimeUnit.SECONDS))
                    .as("ends in two seconds")
                    .isTrue();
            assertThat(process.exitValue()).isEqualTo(130);
            assertThat(Samples.names(temporary)).isEmpty();
        } finally {
            process.destroyForcibly();
        }
    }

    @Test
    void whatCannotBeServedIsSaid() throws IOException {
        Run.of("serve", "--port", "70000").assertFailed(ExitCode.USAGE, "--port must be 0 to 65535");
        Run.of("serve", "--max-pixels", "0").assertFailed(ExitCode.USAGE, "--max-pixels must be at least 1");
        Run.of("serve", "none.safetensors").assertFailed(ExitCode.BAD_INPUT, "none.safetensors", "nor a file");
        try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            Run.of("serve", "--port", taken.getLocalPort())
                    .assertFailed(
                            ExitCode.FAILED, "cannot listen on 127.0.0.1:" + taken.getLocalPort(), "name another");
        }
    }
}
