// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.tensor.DType;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.testing.Golden;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class SafetensorsTest {
    private static final Path NAME = Path.of("test.safetensors");

    @TempDir
    Path folder;

    @Test
    void readsWhatTheReferenceWrote() throws IOException {
        WeightFile file = Safetensors.read(Golden.folder().resolve("pth/pth_content.safetensors"));
        assertThat(file.format()).isEqualTo("safetensors");
        assertThat(file.tensors().keySet())
                .contains("conv.weight", "conv.bias", "half.weight")
                .contains("scalar", "empty")
                .hasSize(13);
        assertThat(file.tensor("scalar").shape()).isEqualTo(Shape.of());
        assertThat(file.tensor("empty").shape()).isEqualTo(Shape.of(0, 3));
        assertThat(file.tensor("bf16.weight").dtype()).isEqualTo(DType.BF16);
        // computed with sha256sum
        assertThat(file.sha256()).isEqualTo("73702c51b38948fdc130737862f714fb8aa3b7589d977e6e9abb12d8c214e8cc");
    }

    @ParameterizedTest
    @EnumSource(DType.class)
    void roundTripsEveryTypeWithEmptyTensorsScalarsAndUnicode(DType dtype) throws IOException {
        SplittableRandom random = new SplittableRandom(41 + dtype.ordinal());
        Map<String, String> metadata =
                Map.of("format", "pt", "größe", "{\"a\": \"\\\"\\n\u0000\"}", "emoji", "\uD83D\uDE00");
        List<StoredTensor> tensors = List.of(
                random(random, "weight", dtype, 3, 5, 7),
                random(random, "clé.权重.\uD83D\uDE00", dtype, 2),
                random(random, "", dtype, 1),
                random(random, "a \"quoted\"\\ \n name", dtype, 2, 1, 1, 1),
                random(random, "scalar", dtype),
                random(random, "empty", dtype, 0, 3),
                random(random, "many.dimensions", dtype, new int[64]));
        Path path = folder.resolve("all.safetensors");
        Safetensors.write(path, metadata, tensors);

        WeightFile file = WeightFile.read(path);
        assertThat(file.metadata()).isEqualTo(metadata);
        assertThat(file.tensors().keySet())
                .containsExactlyElementsOf(
                        tensors.stream().map(StoredTensor::name).toList());
        for (StoredTensor tensor : tensors) {
            assertSame(file.tensor(tensor.name()), tensor);
        }
    }

    @Test
    void writesTheLargestElementsFirstSoThatEverythingIsAlignedAndPadsTheHeaderToEightBytes() throws IOException {
        SplittableRandom random = new SplittableRandom(5);
        List<StoredTensor> tensors = new ArrayList<>();
        for (DType dtype : DType.values()) {
            tensors.add(random(random, "first." + dtype, dtype, 3));
            tensors.add(random(random, "second." + dtype, dtype, 5));
        }
        Collections.shuffle(tensors, new java.util.Random(1));
        Path path = folder.resolve("mixed.safetensors");
        Safetensors.write(path, Map.of(), tensors);

        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(path)).order(ByteOrder.LITTLE_ENDIAN);
        long header = bytes.getLong(0);
        assertThat(header % 8).isZero();
        assertThat(new String(bytes.array(), 8, (int) header, StandardCharsets.UTF_8))
                .startsWith("{\"")
                .doesNotContain("__metadata__");
        long offset = 0;
        int previous = 8;
        for (StoredTensor tensor : WeightFile.read(path).tensors().values()) {
            assertThat(tensor.dtype().bytes()).isLessThanOrEqualTo(previous);
            assertThat(offset % tensor.dtype().bytes()).as(tensor.name()).isZero();
            previous = tensor.dtype().bytes();
            offset += tensor.data().byteSize();
        }
    }

    @Test
    void writesTheSameBytesWhateverTheOrderOfTheMetadata() throws IOException {
        List<StoredTensor> tensors = List.of(random(new SplittableRandom(1), "w", DType.F32, 4));
        Map<String, String> forward = new LinkedHashMap<>();
        Map<String, String> backward = new LinkedHashMap<>();
        for (int i = 0; i < 20; i++) {
            forward.put("key" + i, "v");
            backward.put("key" + (19 - i), "v");
        }
        Safetensors.write(folder.resolve("a"), forward, tensors);
        Safetensors.write(folder.resolve("b"), backward, tensors);
        assertThat(folder.resolve("a")).hasSameBinaryContentAs(folder.resolve("b"));
    }

    @Test
    void aFileWithADigestIsRefusedWhenAnyBitOfItsDataChanges() throws IOException {
        SplittableRandom random = new SplittableRandom(8);
        List<StoredTensor> tensors =
                List.of(random(random, "bytes", DType.U8, 5), random(random, "floats", DType.F32, 3));
        Path path = folder.resolve("digest");
        Safetensors.writeWithDigest(path, Map.of("k", "v"), tensors);
        WeightFile file = WeightFile.read(path);
        assertThat(file.metadata()).isEqualTo(Map.of("k", "v"));
        assertSame(file.tensor("floats"), tensors.get(1));

        byte[] bytes = Files.readAllBytes(path);
        for (int bit = 8 * (bytes.length - 17); bit < 8 * bytes.length; bit++) {
            byte[] damaged = bytes.clone();
            damaged[bit / 8] ^= (byte) (1 << bit % 8);
            Files.write(path, damaged);
            assertThatThrownBy(() -> WeightFile.read(path))
                    .isInstanceOf(InvalidFileException.class)
                    .hasMessageEndingWith("is damaged: its tensors are not those that were written");
        }
    }

    @Test
    void writesTheBytesThatTheOfficialLibraryWrites() throws IOException {
        Path path = folder.resolve("official.safetensors");
        Safetensors.write(
                path, Map.of("format", "pt"), List.of(StoredTensor.of("a", Tensor.of(new float[] {1, -2}, 1, 2))));
        String header =
                "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]}}";
        String padded = header + " ".repeat((8 - header.length() % 8) % 8);
        ByteBuffer expected = ByteBuffer.allocate(8 + padded.length() + 8).order(ByteOrder.LITTLE_ENDIAN);
        expected.putLong(padded.length())
                .put(padded.getBytes(StandardCharsets.UTF_8))
                .putFloat(1)
                .putFloat(-2);
        assertThat(Files.readAllBytes(path)).isEqualTo(expected.array());
    }

    @Test
    void refusesToWriteWhatNoReaderCouldRead() {
        StoredTensor a = random(new SplittableRandom(1), "a", DType.F32, 4);
        Path path = folder.resolve("no.safetensors");
        assertThatThrownBy(() -> Safetensors.write(path, Map.of(), List.of(a, a)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("'a'");
        assertThatThrownBy(() -> Safetensors.write(path, Map.of(), List.of(a.withName("__metadata__"))))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> Safetensors.write(path, Map.of("k", "half \uD83D"), List.of(a)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("half a surrogate pair");
        assertThat(path).doesNotExist();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{}x",
                "{} {}",
                "[]",
                "",
                " {}",
                "{\"a\":1}",
                "{\"a\":{}}",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"more\":1}}",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"shape\":[],\"data_offsets\":[0,4]}}",
                "{\"a\":{\"dtype\":\"f32\",\"shape\":[],\"data_offsets\":[0,4]}}",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0]}}",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4,4]}}",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[\"0\",4]}}",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,99999999999999999999]}}",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,1e0]}}",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
                        + "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}",
                "{\"\\ud83d\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}",
                "{\"__metadata__\":{\"a\":1},\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}",
                "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"},\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}",
                "{\"__metadata__\":{},\"__metadata__\":{},\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}",
            })
    void refusesMalformedHeaders(String header) {
        assertThatThrownBy(() -> Safetensors.parse(NAME, file(header, 4)))
                .isInstanceOf(InvalidFileException.class)
                .hasMessageStartingWith("test.safetensors is not a valid safetensors file: ")
                .hasMessageNotContaining("\n");
    }

    @Test
    void acceptsAnyOrderOfEntriesAndPadding() throws IOException {
        String header = "{\"b\":{\"shape\":[1],\"data_offsets\":[4,8],\"dtype\":\"F32\"},"
                + "\"empty\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,4]},"
                + "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"__metadata__\":{\"k\":\"v\"}}   ";
        WeightFile file = Safetensors.parse(NAME, file(header, 8));
        assertThat(file.tensors().keySet()).containsExactly("b", "empty", "a");
        assertThat(file.metadata()).containsExactly(Map.entry("k", "v"));
        assertThat(file.tensor("a").toTensor().array()).containsExactly(Float.intBitsToFloat(0x03020100));
    }

    private static MemorySegment file(String header, int dataBytes) {
        byte[] text = header.getBytes(StandardCharsets.UTF_8);
        ByteBuffer bytes = ByteBuffer.allocate(8 + text.length + dataBytes).order(ByteOrder.LITTLE_ENDIAN);
        bytes.putLong(text.length).put(text);
        for (int i = 0; i < dataBytes; i++) {
            bytes.put((byte) i);
        }
        return MemorySegment.ofArray(bytes.array());
    }

    static StoredTensor random(SplittableRandom random, String name, DType dtype, int... dims) {
        Shape shape = Shape.of(dims);
        byte[] data = new byte[shape.size() * dtype.bytes()];
        random.nextBytes(data);
        return new StoredTensor(name, dtype, shape, MemorySegment.ofArray(data));
    }

    static void assertSame(StoredTensor actual, StoredTensor expected) {
        assertThat(actual).as(expected.name()).isNotNull();
        assertThat(actual.name()).isEqualTo(expected.name());
        assertThat(actual.dtype()).as(expected.name()).isEqualTo(expected.dtype());
        assertThat(actual.shape()).as(expected.name()).isEqualTo(expected.shape());
        assertThat(actual.data().mismatch(expected.data())).as(expected.name()).isEqualTo(-1);
    }
}
