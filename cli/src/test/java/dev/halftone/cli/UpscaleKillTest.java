// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.halftone.models.image.ImageFiles;
import dev.halftone.models.procedural.ProceduralImages;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A batch in a process of its own (on scalar kernels, which need no warming up) that ends at any moment. {@code -Dhalftone.kills=50} kills more often, {@code -Dhalftone.kill.seed=N}
 * at other moments.
 */
final class UpscaleKillTest {
    private static final int IMAGES = 20;
    private static final int KILLS = Integer.getInteger("halftone.kills", 2);
    private static final long SEED = Long.getLong("halftone.kill.seed", 20261121);

    @TempDir
    private Path folder;

    private Path network = Path.of("");
    private Path in = Path.of("");

    @BeforeEach
    void writeInputs() throws IOException {
        network = Samples.network(folder);
        in = folder.resolve("in");
        Files.createDirectories(in.resolve("sub"));
        for (int i = 0; i < IMAGES; i++) {
            ImageFiles.write(
                    in.resolve((i % 2 == 0 ? "" : "sub/") + "image" + i + ".png"), ProceduralImages.image(i, 60, 80));
        }
    }

    private Process start(Path out, Path log) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Dhalftone.kernels=scalar",
                "-cp",
                System.getProperty("java.class.path"),
                Main.class.getName(),
                "upscale"));
        for (Object word : new Object[] {in, "-o", out, "-m", network, "-r", "--resume"}) {
            command.add(word.toString());
        }
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
    }

    /** Returns the SHA-256 of all files under a folder, by their names. */
    private static Map<String, String> content(Path root) throws IOException {
        Map<String, String> content = new TreeMap<>();
        try (Stream<Path> files = Files.walk(root)) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                content.put(root.relativize(file).toString(), Digests.of(file));
            }
        }
        return content;
    }

    @Test
    void aKilledBatchGoesOnToTheSameBytes() throws Exception {
        Path log = folder.resolve("log");
        Path whole = folder.resolve("whole");
        long start = System.nanoTime();
        Process uninterrupted = start(whole, log);
        assertThat(uninterrupted.waitFor()).as(Files.readString(log)).isZero();
        long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start);
        Map<String, String> expected = content(whole);
        assertThat(expected).hasSize(IMAGES + 1);

        SplittableRandom random = new SplittableRandom(SEED);
        Path out = folder.resolve("out");
        int killed = 0;
        for (int i = 0; i < KILLS; i++) {
            Process process = start(out, log);
            boolean ended = process.waitFor(random.nextLong(millis / 4, millis), TimeUnit.MILLISECONDS);
            if (!ended) {
                process.destroyForcibly().waitFor();
                killed++;
            }
            if (ended || i == KILLS - 1) {
                Process last = start(out, log);
                assertThat(last.waitFor()).as(Files.readString(log)).isZero();
                assertThat(content(out)).as("seed %d, run %d", SEED, i).isEqualTo(expected);
                delete(out);
            }
        }
        assertThat(killed).as("runs that were killed").isPositive();
    }

    private static void delete(Path root) throws IOException {
        try (Stream<Path> files = Files.walk(root)) {
            for (Path file : files.sorted(java.util.Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }

    @Test
    void controlCEndsAtOnceAndLeavesWholeFilesOnly() throws Exception {
        Assumptions.assumeTrue(Files.exists(Path.of("/bin/kill")), "/bin/kill sends the signal");
        // So many more that the batch cannot end before the signal comes.
        int more = 60;
        for (int i = 0; i < more; i++) {
            ImageFiles.write(in.resolve("sub/more" + i + ".png"), ProceduralImages.image(i, 200, 200));
        }
        Path log = folder.resolve("log");
        Path out = folder.resolve("out");
        Process process = start(out, log);
        while (process.isAlive()
                && (!Files.exists(out.resolve("sub"))
                        || Samples.names(out.resolve("sub")).size() < 2)) {
            Thread.sleep(1);
        }
        assertThat(process.isAlive()).as(Files.readString(log)).isTrue();
        long start = System.nanoTime();
        new ProcessBuilder("/bin/kill", "-INT", Long.toString(process.pid()))
                .start()
                .waitFor();
        assertThat(process.waitFor(2, TimeUnit.SECONDS))
                .as("ends in two seconds")
                .isTrue();
        assertThat(TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start)).isLessThan(2000);
        assertThat(process.exitValue()).isEqualTo(130);
        assertThat(Files.readString(log))
                .contains("interrupted after ", " of " + (IMAGES + more) + " images; --resume goes on");
        for (String name : content(out).keySet()) {
            assertThat(name).doesNotEndWith(".tmp");
            if (name.endsWith(".png")) {
                assertThat(ImageFiles.read(out.resolve(name)).rgb().dim(0)).isIn(120, 400);
            }
        }
    }
}
