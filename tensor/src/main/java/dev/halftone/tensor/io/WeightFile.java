// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.io;

import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Collections;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The content of a weight file.
 *
 * <p>A file is read into the heap as a whole and its tensors are views of those bytes. Mapping it would save one copy, but weights of
 * super-resolution networks are small, become {@code float[]} right afterwards, and a mapped file that somebody truncates takes
 * the JVM's memory access down with it; this way the tensors also are exactly the bytes that {@link #sha256} speaks of.
 *
 * @param path where it was read from
 * @param format {@code safetensors}, {@code pytorch-zip} or {@code pytorch-legacy}
 * @param sha256 of all bytes of the file, in lower-case hexadecimal
 * @param metadata strings beside the tensors (safetensors {@code __metadata__}); empty when the format has none
 * @param sections the keys of the dictionaries that a PyTorch file holds at its top level, for example {@code params_ema}
 * @param tensors by full dotted name, in file order
 */
public record WeightFile(
        Path path,
        String format,
        String sha256,
        Map<String, String> metadata,
        List<String> sections,
        Map<String, StoredTensor> tensors) {
    /** Where training frameworks put the weights inside a checkpoint, best first. */
    private static final List<String> STATE_DICT_KEYS = List.of("params_ema", "params", "state_dict", "model");

    private static final long MAX_BYTES = Integer.MAX_VALUE - 8;

    /** Copies the collections, keeping their order. */
    public WeightFile {
        metadata = Collections.unmodifiableMap(new LinkedHashMap<>(metadata));
        sections = List.copyOf(sections);
        tensors = Collections.unmodifiableMap(new LinkedHashMap<>(tensors));
    }

    /**
     * Reads a weight file of any known format, told by its content and not by its name.
     *
     * @throws InvalidFileException if there is no such file, or it is no weight file, or anything in it is wrong
     */
    public static WeightFile read(Path path) throws InvalidFileException {
        MemorySegment content = content(path);
        return TorchFile.recognises(content) ? TorchFile.parse(path, content) : Safetensors.parse(path, content);
    }

    /**
     * Returns the tensor with this full name.
     *
     * @throws InvalidFileException if there is none
     */
    public StoredTensor tensor(String name) throws InvalidFileException {
        StoredTensor tensor = tensors.get(name);
        if (tensor == null) {
            throw new InvalidFileException(path, "has no tensor " + InvalidFileException.quote(name));
        }
        return tensor;
    }

    /**
     * Returns the dictionary that holds the network's weights: {@code params_ema}, else {@code params}, else {@code state_dict}, else
     * {@code model}, where the file has a dictionary of that name, else all tensors. If then every name starts with
     * {@code module.} (the wrapper of multi-GPU training), that is taken off too.
     */
    public Section stateDict() {
        for (String key : STATE_DICT_KEYS) {
            if (sections.contains(key)) {
                return unwrapped(section(key));
            }
        }
        return unwrapped(new Section("", tensors));
    }

    /** Returns the tensors whose names start with {@code name} and a dot, without that prefix; possibly none. */
    public Section section(String name) {
        return new Section(name, without(name + ".", tensors));
    }

    private static Section unwrapped(Section section) {
        String prefix = "module.";
        Map<String, StoredTensor> inside = without(prefix, section.tensors());
        if (inside.isEmpty() || inside.size() < section.tensors().size()) {
            return section;
        }
        return new Section(section.name().isEmpty() ? "module" : section.name() + ".module", inside);
    }

    private static Map<String, StoredTensor> without(String prefix, Map<String, StoredTensor> tensors) {
        Map<String, StoredTensor> inside = new LinkedHashMap<>();
        tensors.forEach((name, tensor) -> {
            if (name.startsWith(prefix)) {
                String rest = name.substring(prefix.length());
                inside.put(rest, tensor.withName(rest));
            }
        });
        return inside;
    }

    /**
     * Returns all bytes of a file, read-only.
     *
     * @throws InvalidFileException if it cannot be read or has 2 GiB or more
     */
    static MemorySegment content(Path path) throws InvalidFileException {
        if (Files.isDirectory(path)) {
            throw new InvalidFileException(path, "is a folder, not a weight file");
        }
        if (!Files.exists(path)) {
            throw new InvalidFileException(path, "does not exist");
        }
        if (!Files.isRegularFile(path)) {
            throw new InvalidFileException(path, "is not a regular file");
        }
        try (InputStream in = Files.newInputStream(path)) {
            long size = Files.size(path);
            if (size > MAX_BYTES) {
                throw new InvalidFileException(path, "has " + size + " bytes; weight files of up to 2 GiB are read");
            }
            byte[] bytes = new byte[(int) size];
            int filled = 0;
            while (filled < bytes.length) {
                // In pieces: one read of everything would make the JDK hold a native buffer as large as the file.
                int count = in.read(bytes, filled, Math.min(1 << 20, bytes.length - filled));
                if (count < 0) {
                    throw new InvalidFileException(path, "became shorter while it was read");
                }
                filled += count;
            }
            return MemorySegment.ofArray(bytes).asReadOnly();
        } catch (InvalidFileException e) {
            throw e;
        } catch (IOException e) {
            throw new InvalidFileException(path, "cannot be read: " + InvalidFileException.reason(e), e);
        }
    }

    /** Returns the SHA-256 of some bytes, one piece after the other, in lower-case hexadecimal. */
    static String sha256(List<MemorySegment> pieces) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            pieces.forEach(piece -> digest.update(piece.asByteBuffer()));
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }
}
