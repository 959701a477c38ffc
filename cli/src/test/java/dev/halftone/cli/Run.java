// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.jr.ob.JSON;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.assertj.core.api.InstanceOfAssertFactories;
import org.assertj.core.api.InstanceOfAssertFactory;
import org.assertj.core.api.MapAssert;

/**
 * A run of the command line in this JVM.
 *
 * @param exitCode what it answered
 * @param out what it printed as result
 * @param err what else it said
 */
record Run(int exitCode, String out, String err) {
    @SuppressWarnings("rawtypes") // as AssertJ declares it
    static final InstanceOfAssertFactory<Map, MapAssert<String, Object>> OBJECT =
            InstanceOfAssertFactories.map(String.class, Object.class);

    /** Runs with some arguments and more; where both name an option, the latter's value holds. */
    static Run of(Object[] some, Object[] more) {
        List<Object> all = new ArrayList<>(List.of(some));
        for (Object word : more) {
            int twice = word.toString().startsWith("-") ? all.indexOf(word) : -1;
            if (twice >= 0) {
                all.subList(twice, twice + 2).clear();
            }
        }
        all.addAll(List.of(more));
        return of(all.toArray());
    }

    static Run of(Object... args) {
        Piped run = piped(new byte[0], args);
        return new Run(run.exitCode(), new String(run.out(), StandardCharsets.UTF_8), run.err());
    }

    /**
     * A run whose result is bytes.
     *
     * @param out what it wrote to standard output
     */
    record Piped(int exitCode, byte[] out, String err) {}

    /** Runs with bytes as standard input. */
    static Piped piped(byte[] in, Object... args) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        String[] strings = new String[args.length];
        for (int i = 0; i < args.length; i++) {
            strings[i] = args[i].toString();
        }
        int exitCode = Main.run(
                new Console(
                        new ByteArrayInputStream(in), out, new PrintStream(err, true, StandardCharsets.UTF_8), false),
                strings);
        return new Piped(exitCode, out.toByteArray(), err.toString(StandardCharsets.UTF_8));
    }

    /** Returns the one JSON object that the run printed. */
    Map<String, Object> json() {
        assertThat(exitCode).as(err).isZero();
        assertThat(out.lines()).hasSize(1);
        try {
            return JSON.std.mapFrom(out);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Returns the value at the end of a path of keys. */
    static Object value(Map<String, Object> json, String... path) {
        Object value = json;
        for (String key : path) {
            assertThat(value).asInstanceOf(OBJECT).containsKey(key);
            value = Objects.requireNonNull(((Map<?, ?>) value).get(key), key);
        }
        return value;
    }

    /** Checks that the run did what it was asked for. */
    void assertSucceeded() {
        assertThat(exitCode).as(err).isZero();
    }

    /** Checks that the run failed with one sentence that has these words, and printed no result. */
    void assertFailed(int code, String... words) {
        assertThat(exitCode).as(err).isEqualTo(code);
        assertThat(err.lines()).as(err).hasSize(1);
        assertThat(err).startsWith("halftone: ").doesNotContain("Exception");
        for (String word : words) {
            assertThat(err).contains(word);
        }
        assertThat(out).isEmpty();
    }
}
