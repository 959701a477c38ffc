// SPDX-License-Identifier: Apache-2.0
package dev.halftone.testing;

import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;

/**
 * Feeds readers with damaged files. A fuzz test has {@code public static void fuzzerTestOneInput(byte[])}, which reads one input
 * inside {@link #bounded}, and {@code static List<byte[]> seeds()}, whole files to begin with. A test runs some thousand mutants of
 * them by {@link #run}; {@code fuzz/run} lets Jazzer look for more, led by the code that they reach.
 */
public final class Fuzzing {
    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    private static final long MOST_NANOS = 2_000_000_000;
    private static final int MOST_LETTERS = 2_000;
    private static final int MUTANTS = Integer.getInteger("halftone.fuzz.mutants", 3_000);
    private static final long SEED = Long.getLong("halftone.fuzz.seed", 20261121);

    private Fuzzing() {}

    /** Reads an input; an exception that is not documented is a finding. */
    @FunctionalInterface
    public interface Reader {
        /** Reads. */
        void read() throws Exception;
    }

    /** Reads an input of a fuzz test. */
    @FunctionalInterface
    public interface Target {
        /** Reads. */
        void read(byte[] input);
    }

    /**
     * Reads an input, which may take two seconds of this thread and a number of bytes.
     *
     * @throws AssertionError if it takes more, or fails
     */
    public static void bounded(long mostBytes, Reader reader) {
        String much = read(mostBytes, reader);
        // The first time may load classes, so what was too much counts only if it is again.
        if (!much.isEmpty() && !read(mostBytes, reader).isEmpty()) {
            throw new AssertionError(much);
        }
    }

    private static String read(long mostBytes, Reader reader) {
        long thread = Thread.currentThread().threadId();
        long start = THREADS.getCurrentThreadCpuTime();
        long before = THREADS.getThreadAllocatedBytes(thread);
        try {
            reader.read();
        } catch (Exception | StackOverflowError | OutOfMemoryError e) {
            throw new AssertionError("not documented: " + e, e);
        }
        long bytes = THREADS.getThreadAllocatedBytes(thread) - before;
        long nanos = THREADS.getCurrentThreadCpuTime() - start;
        return bytes > mostBytes
                ? "allocates " + bytes + " bytes, more than " + mostBytes
                : nanos > MOST_NANOS ? "takes " + nanos / 1_000_000 + " ms" : "";
    }

    /** Checks that a refusal is one short line that begins with what is refused. */
    public static void requireSentence(Exception refusal, Path name) {
        String message = String.valueOf(refusal.getMessage());
        if (!message.startsWith(name + " ") || message.contains("\n") || message.length() > MOST_LETTERS) {
            throw new AssertionError("no sentence about " + name, refusal);
        }
    }

    /** Returns the files of a folder of {@code test-data}, in the order of their names; none if there is no such folder. */
    public static List<byte[]> files(String folder) throws IOException {
        List<byte[]> all = new ArrayList<>();
        if (!Files.isDirectory(Golden.folder().resolveSibling(folder))) {
            return all;
        }
        try (Stream<Path> files = Files.list(Golden.folder().resolveSibling(folder))) {
            for (Path file : files.filter(Files::isRegularFile).sorted().toList()) {
                all.add(Files.readAllBytes(file));
            }
        }
        return all;
    }

    /**
     * Reads the seeds as they are, and some thousand mutants of them.
     *
     * @param tokens what a mutant may get in any place
     * @throws AssertionError with the number of the mutant, which is written to {@code target/}, if reading one does
     */
    public static void run(List<byte[]> seeds, List<byte[]> tokens, Target target) throws IOException {
        SplittableRandom random = new SplittableRandom(SEED);
        Mutator mutator = new Mutator(seeds, tokens, random);
        for (int i = -seeds.size(); i < MUTANTS; i++) {
            byte[] input = i < 0 ? seeds.get(i + seeds.size()) : mutator.next();
            try {
                target.read(input);
            } catch (AssertionError e) {
                Path file = Files.createDirectories(Path.of("target", "fuzz"))
                        .resolve(Integer.toHexString(java.util.Arrays.hashCode(input)));
                Files.write(file, input);
                throw new AssertionError("seed " + SEED + ", mutant " + i + ", kept as " + file.toAbsolutePath(), e);
            }
        }
    }

    /** Writes the seeds of a fuzz test to a folder: {@code CLASS FOLDER}. */
    public static void main(String[] args) throws ReflectiveOperationException, IOException {
        var seeds = Class.forName(args[0]).getDeclaredMethod("seeds");
        seeds.setAccessible(true);
        for (Object seed : (List<?>) seeds.invoke(null)) {
            byte[] bytes = (byte[]) seed;
            String name = HexFormat.of().toHexDigits(java.util.Arrays.hashCode(bytes));
            Files.write(Path.of(args[1], name), bytes);
        }
    }
}
