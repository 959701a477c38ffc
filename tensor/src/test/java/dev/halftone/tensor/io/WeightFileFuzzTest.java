// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.io;

import dev.halftone.testing.Fuzzing;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * Safetensors and PyTorch files. A pickle is read by itself and inside a zip archive that is whole, as mutants of archives rarely are.
 */
@Timeout(value = 300, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
public final class WeightFileFuzzTest {
    private static final Path NAME = Path.of("weights");
    private static final Path FILE = file();

    /** Bytes that reading may allocate: a pickle of one-byte instructions makes the most of each. */
    private static long bound(long size) {
        return 200 * size + 1_000_000;
    }

    private static Path file() {
        try {
            Path file = Files.createTempFile("halftone-fuzz-", ".pth");
            file.toFile().deleteOnExit();
            return file;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public static void fuzzerTestOneInput(byte[] input) {
        if (input.length == 0) {
            return;
        }
        if (input[0] != 'P') {
            Fuzzing.bounded(bound(input.length), () -> {
                MemorySegment content = MemorySegment.ofArray(input);
                use(
                        NAME,
                        () -> TorchFile.recognises(content)
                                ? TorchFile.parse(NAME, content)
                                : Safetensors.parse(NAME, content));
            });
        }
        byte[] archive = input[0] == (byte) 0x80 ? archive(input) : input;
        if (archive[0] == 'P') {
            Fuzzing.bounded(bound(archive.length), () -> {
                Files.write(FILE, archive);
                use(FILE, () -> WeightFile.read(FILE));
            });
        }
    }

    private interface Source {
        WeightFile read() throws InvalidFileException;
    }

    private static void use(Path name, Source source) {
        try {
            WeightFile file = source.read();
            file.stateDict();
            file.tensors().values().forEach(StoredTensor::toTensor);
        } catch (InvalidFileException e) {
            Fuzzing.requireSentence(e, name);
        }
    }

    private static byte[] archive(byte[] pickle) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
            put(zip, "a/data.pkl", pickle);
            for (int i = 0; i < 4; i++) {
                put(zip, "a/data/" + i, new byte[64]);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return bytes.toByteArray();
    }

    private static void put(ZipOutputStream zip, String name, byte[] content) throws IOException {
        ZipEntry entry = new ZipEntry(name);
        CRC32 crc = new CRC32();
        crc.update(content);
        entry.setMethod(ZipEntry.STORED);
        entry.setSize(content.length);
        entry.setCrc(crc.getValue());
        zip.putNextEntry(entry);
        zip.write(content);
        zip.closeEntry();
    }

    static List<byte[]> seeds() throws IOException {
        List<byte[]> seeds = new ArrayList<>(Fuzzing.files("golden/pth"));
        seeds.addAll(Fuzzing.files("golden/bad"));
        seeds.addAll(Fuzzing.files("fuzz/weights"));
        for (byte[] seed : List.copyOf(seeds)) {
            if (seed.length > 4 && seed[0] == 'P') {
                Files.write(FILE, seed);
                try (ZipFile zip = new ZipFile(FILE.toFile())) {
                    for (ZipEntry e : zip.stream().toList()) {
                        if (e.getName().endsWith("data.pkl")) {
                            seeds.add(zip.getInputStream(e).readAllBytes());
                        }
                    }
                } catch (IOException e) {
                    // A seed that is no whole archive.
                }
            }
        }
        return seeds;
    }

    @Test
    void damagedFilesAreReadOrRefused() throws IOException {
        List<byte[]> tokens = Stream.of(
                        "ctorch._utils\n_rebuild_tensor_v2\n",
                        "ccollections\nOrderedDict\n",
                        "c_codecs\nencode\n",
                        "h\0",
                        "h\1",
                        "q\0",
                        "\u0094",
                        "R",
                        "(",
                        "t",
                        "\u0086",
                        "e",
                        "u",
                        "s",
                        "\u0093",
                        "cos\nsystem\n",
                        "L1L\n",
                        "\u008b\0\0\1\0",
                        "\"dtype\":\"F32\",",
                        "\"shape\":[0],",
                        "\"data_offsets\":[0,0],",
                        "{}",
                        "[[[[[[[[[[",
                        "1e9",
                        "\"\\ud800\":")
                .map(token -> token.getBytes(StandardCharsets.ISO_8859_1))
                .toList();
        Fuzzing.run(seeds(), tokens, WeightFileFuzzTest::fuzzerTestOneInput);
    }
}
