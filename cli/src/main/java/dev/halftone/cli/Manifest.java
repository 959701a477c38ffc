// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import com.fasterxml.jackson.jr.ob.JSON;
import dev.halftone.tensor.io.AtomicFile;
import dev.halftone.tensor.io.InvalidFileException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What a batch has finished, so that it can go on after any end: a file of one JSON object per line, first the settings, then an entry
 * for every result. A line is added when its result is complete under its name; a line that an end has cut short does not count.
 *
 * @param settings everything that results depend on beside the inputs
 * @param entries by the result's name
 */
record Manifest(Map<String, String> settings, Map<String, Entry> entries) {
    /** The manifest's name in the output folder. */
    static final String NAME = "halftone-manifest.jsonl";

    private static final int SCHEMA = 1;

    /** Bytes that are read at most: some million results. */
    private static final long MAX_SIZE = 1 << 30;

    /**
     * A result.
     *
     * @param output its name, relative to the output folder
     * @param outputSha256 of its bytes
     * @param inputSha256 of the bytes of what it was made from
     */
    record Entry(String output, String outputSha256, String inputSha256) {
        private String line() {
            return new Json()
                    .put("output", output)
                    .put("outputSha256", outputSha256)
                    .put("inputSha256", inputSha256)
                    .toString();
        }
    }

    /** Returns a manifest without entries. */
    static Manifest of(Map<String, String> settings) {
        return new Manifest(settings, new LinkedHashMap<>());
    }

    /**
     * Reads a manifest.
     *
     * @throws InvalidFileException if it cannot be read or is none
     */
    static Manifest read(Path file) throws InvalidFileException {
        try {
            if (Files.size(file) > MAX_SIZE) {
                throw new InvalidFileException(file, "is too large for a manifest");
            }
            return parse(file, Files.readAllBytes(file));
        } catch (InvalidFileException e) {
            throw e;
        } catch (IOException e) {
            throw new InvalidFileException(file, "cannot be read: " + InvalidFileException.reason(e), e);
        }
    }

    /** Reads the content of a manifest. */
    static Manifest parse(Path file, byte[] content) throws InvalidFileException {
        String text;
        try {
            text = StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(content))
                    .toString();
        } catch (CharacterCodingException e) {
            throw new InvalidFileException(file, "is no manifest: it is not text in UTF-8", e);
        }
        // The last line counts only with its line break.
        List<String> lines =
                text.substring(0, text.lastIndexOf('\n') + 1).lines().toList();
        if (lines.isEmpty()) {
            throw new InvalidFileException(file, "is no manifest: it has no settings");
        }
        Map<String, Object> head = parse(file, 1, lines.getFirst());
        if (!(head.get("settings") instanceof Map<?, ?> found)
                || !Integer.valueOf(SCHEMA).equals(head.get("schema"))) {
            throw new InvalidFileException(file, "is no manifest of schema " + SCHEMA);
        }
        Map<String, String> settings = new LinkedHashMap<>();
        found.forEach((key, value) -> settings.put(String.valueOf(key), String.valueOf(value)));
        Manifest manifest = of(settings);
        for (int i = 1; i < lines.size(); i++) {
            Map<String, Object> line = parse(file, i + 1, lines.get(i));
            if (!(line.get("output") instanceof String output)
                    || !(line.get("outputSha256") instanceof String outputSha256)
                    || !(line.get("inputSha256") instanceof String inputSha256)) {
                throw new InvalidFileException(file, "is no manifest: line " + (i + 1) + " is no entry");
            }
            manifest.entries.put(output, new Entry(output, outputSha256, inputSha256));
        }
        return manifest;
    }

    private static Map<String, Object> parse(Path file, int number, String line) throws InvalidFileException {
        try {
            Map<String, Object> parsed = JSON.std.mapFrom(line);
            if (parsed != null) {
                return parsed;
            }
        } catch (IOException e) {
            throw new InvalidFileException(file, "is no manifest: line " + number + " is no JSON object", e);
        }
        throw new InvalidFileException(file, "is no manifest: line " + number + " is no JSON object");
    }

    /** Writes the settings and some entries, atomically. */
    void write(Path file, Collection<Entry> some) throws IOException {
        AtomicFile.write(file, out -> {
            out.write(line(
                    new Json().put("schema", SCHEMA).put("settings", settings).toString()));
            for (Entry entry : some) {
                out.write(line(entry.line()));
            }
        });
    }

    /** Adds an entry, here and at the end of the file. */
    void append(Path file, Entry entry) throws IOException {
        entries.put(entry.output(), entry);
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE, StandardOpenOption.APPEND)) {
            ByteBuffer line = ByteBuffer.wrap(line(entry.line()));
            while (line.hasRemaining()) {
                channel.write(line);
            }
        }
    }

    private static byte[] line(String text) {
        return (text + "\n").getBytes(StandardCharsets.UTF_8);
    }

    /** Returns the entry of a result if it was made with these settings. */
    @Nullable
    Entry entry(String output, Map<String, String> current) {
        return settings.equals(current) ? entries.get(output) : null;
    }
}
