// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.io;

import com.fasterxml.jackson.core.JsonEncoding;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import dev.halftone.tensor.DType;
import dev.halftone.tensor.Shape;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The safetensors format: eight bytes of little-endian header length, a JSON header that gives every tensor's type, shape and place,
 * then the data without gaps.
 *
 * <p>Reading is strict: whatever the official reader refuses is refused here, and so are duplicate keys, unknown fields and values of
 * the wrong JSON type. What is allocated beyond the file's own bytes stays a small multiple of the header's length.
 *
 * @see <a href="https://github.com/huggingface/safetensors#format">the format</a>
 */
public final class Safetensors {
    /** The metadata key of the SHA-256 of the data; what readers see of the metadata does not have it. */
    static final String DIGEST = "halftone_data_sha256";

    static final String FORMAT = "safetensors";

    /** The official reader's limit too. */
    private static final long MAX_HEADER_BYTES = 100_000_000;

    /** PyTorch knows no more dimensions. */
    private static final int MAX_RANK = 64;

    private static final String METADATA = "__metadata__";

    private static final ValueLayout.OfLong LENGTH = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** Names are not interned: they come from files that nobody vouches for, and interned strings may stay for good. */
    private static final JsonFactory JSON = JsonFactory.builder()
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNestingDepth(8)
                    .maxNumberLength(20)
                    .maxNameLength(10_000)
                    .maxStringLength((int) MAX_HEADER_BYTES)
                    .maxDocumentLength(MAX_HEADER_BYTES)
                    .build())
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
            .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
            .build();

    private Safetensors() {}

    /**
     * Reads a file.
     *
     * @throws InvalidFileException if there is no such file, or anything in it is wrong
     */
    public static WeightFile read(Path path) throws InvalidFileException {
        return parse(path, WeightFile.content(path));
    }

    /**
     * Reads content that is in memory already, a class-path resource for example. The tensors are views of {@code content}.
     *
     * @param name names the content in errors
     * @throws InvalidFileException if anything in it is wrong
     */
    public static WeightFile parse(Path name, MemorySegment content) throws InvalidFileException {
        if (content.byteSize() < Long.BYTES) {
            throw invalid(name, "it has " + content.byteSize() + " bytes, too few for a header");
        }
        long length = content.get(LENGTH, 0);
        long available = content.byteSize() - Long.BYTES;
        if (length < 0 || length > available) {
            throw invalid(
                    name,
                    "its header claims " + Long.toUnsignedString(length) + " bytes, the file has " + available
                            + " left");
        }
        if (length > MAX_HEADER_BYTES) {
            throw invalid(name, "its header has " + length + " bytes, more than " + MAX_HEADER_BYTES);
        }
        MemorySegment data = content.asSlice(Long.BYTES + length);
        Header header = new Header(name, data);
        header.read(decode(name, content.asSlice(Long.BYTES, length)));
        Map<String, StoredTensor> tensors = header.tensors();
        String digest = header.metadata.remove(DIGEST);
        if (digest != null && !digest.equals(WeightFile.sha256(List.of(data)))) {
            throw new InvalidFileException(name, "is damaged: its tensors are not those that were written");
        }
        return new WeightFile(name, FORMAT, WeightFile.sha256(List.of(content)), header.metadata, List.of(), tensors);
    }

    /**
     * Writes a file atomically, see {@link AtomicFile}. Data is ordered by element size, largest first, so that every tensor is
     * aligned to its type; tensors of equal element size stay in the given order. Equal arguments give equal bytes.
     *
     * @param metadata strings beside the tensors, written in the order of their keys; left out when empty
     * @throws IllegalArgumentException if two tensors have the same name, or one is called {@code __metadata__}, or a text cannot be
     *     written as UTF-8
     * @throws IOException if the file cannot be written; the message is one sentence that names it and the reason
     */
    public static void write(Path path, Map<String, String> metadata, Collection<StoredTensor> tensors)
            throws IOException {
        List<StoredTensor> ordered = ordered(tensors);
        byte[] header = header(metadata, ordered);
        AtomicFile.write(path, out -> {
            out.write(ByteBuffer.allocate(Long.BYTES)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(header.length)
                    .array());
            out.write(header);
            byte[] chunk = new byte[1 << 16];
            for (StoredTensor tensor : ordered) {
                copy(tensor.data(), out, chunk);
            }
        });
    }

    /**
     * Writes a file as {@link #write} does, with the SHA-256 of its data among the metadata: it is refused when the data is not what was
     * written. Other software reads it like any other.
     */
    public static void writeWithDigest(Path path, Map<String, String> metadata, Collection<StoredTensor> tensors)
            throws IOException {
        Map<String, String> signed = new LinkedHashMap<>(metadata);
        signed.put(
                DIGEST,
                WeightFile.sha256(
                        ordered(tensors).stream().map(StoredTensor::data).toList()));
        write(path, signed, tensors);
    }

    private static List<StoredTensor> ordered(Collection<StoredTensor> tensors) {
        List<StoredTensor> ordered = new ArrayList<>(tensors);
        ordered.sort(
                Comparator.comparingInt((StoredTensor t) -> t.dtype().bytes()).reversed());
        return ordered;
    }

    private static void copy(MemorySegment data, OutputStream out, byte[] chunk) throws IOException {
        for (long from = 0; from < data.byteSize(); from += chunk.length) {
            int count = (int) Math.min(chunk.length, data.byteSize() - from);
            MemorySegment.copy(data, ValueLayout.JAVA_BYTE, from, chunk, 0, count);
            out.write(chunk, 0, count);
        }
    }

    private static byte[] header(Map<String, String> metadata, List<StoredTensor> tensors) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (JsonGenerator json = JSON.createGenerator(bytes, JsonEncoding.UTF8)) {
            json.enable(JsonGenerator.Feature.STRICT_DUPLICATE_DETECTION);
            json.writeStartObject();
            if (!metadata.isEmpty()) {
                json.writeObjectFieldStart(METADATA);
                for (Map.Entry<String, String> entry : new TreeMap<>(metadata).entrySet()) {
                    json.writeStringField(encodable(entry.getKey()), encodable(entry.getValue()));
                }
                json.writeEndObject();
            }
            long offset = 0;
            for (StoredTensor tensor : tensors) {
                if (tensor.name().equals(METADATA)) {
                    throw new IllegalArgumentException("no tensor can be called " + METADATA);
                }
                json.writeObjectFieldStart(encodable(tensor.name()));
                json.writeStringField("dtype", tensor.dtype().name());
                json.writeFieldName("shape");
                int[] dims = tensor.shape().dims();
                json.writeArray(dims, 0, dims.length);
                json.writeFieldName("data_offsets");
                long end = offset + tensor.data().byteSize();
                json.writeArray(new long[] {offset, end}, 0, 2);
                json.writeEndObject();
                offset = end;
            }
            json.writeEndObject();
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException(
                    "these tensors have no safetensors header: " + e.getOriginalMessage(), e);
        }
        while (bytes.size() % Long.BYTES != 0) {
            bytes.write(' ');
        }
        return bytes.toByteArray();
    }

    private static String encodable(String text) {
        if (!StandardCharsets.UTF_8.newEncoder().canEncode(text)) {
            throw new IllegalArgumentException("half a surrogate pair in " + InvalidFileException.quote(text));
        }
        return text;
    }

    private static String decode(Path name, MemorySegment header) throws InvalidFileException {
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(header.asByteBuffer())
                    .toString();
        } catch (CharacterCodingException e) {
            throw invalid(name, "its header is not UTF-8", e);
        }
    }

    private static InvalidFileException invalid(Path name, String reason) {
        return new InvalidFileException(name, "is not a valid safetensors file: " + reason);
    }

    private static InvalidFileException invalid(Path name, String reason, Throwable cause) {
        return new InvalidFileException(name, "is not a valid safetensors file: " + reason, cause);
    }

    /** One tensor's entry, checked against its own shape but not yet against the others. */
    private record Entry(String name, DType dtype, Shape shape, long begin, long end) {}

    /** Reads the JSON header. */
    private static final class Header {
        private final Path name;
        private final MemorySegment data;
        private final Map<String, String> metadata = new LinkedHashMap<>();
        private final List<Entry> entries = new ArrayList<>();

        Header(Path name, MemorySegment data) {
            this.name = name;
            this.data = data;
        }

        void read(String text) throws InvalidFileException {
            if (!text.startsWith("{")) {
                throw invalid(name, "its header does not start with a brace");
            }
            try (JsonParser json = JSON.createParser(text)) {
                expect(json.nextToken(), JsonToken.START_OBJECT, "the header");
                while (json.nextToken() == JsonToken.FIELD_NAME) {
                    String key = json.currentName();
                    if (key.equals(METADATA)) {
                        readMetadata(json);
                    } else {
                        entries.add(readEntry(json, key));
                    }
                }
                if (json.nextToken() != null) {
                    throw invalid(name, "something follows the JSON object in its header");
                }
            } catch (InvalidFileException e) {
                throw e;
            } catch (JsonProcessingException e) {
                throw invalid(name, "its header is not valid JSON: " + firstLine(e.getOriginalMessage()), e);
            } catch (IOException e) {
                throw invalid(name, "its header cannot be read: " + InvalidFileException.reason(e), e);
            }
        }

        private void readMetadata(JsonParser json) throws IOException {
            expect(json.nextToken(), JsonToken.START_OBJECT, METADATA);
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                String key = checked(json.currentName());
                expect(json.nextToken(), JsonToken.VALUE_STRING, METADATA + " " + InvalidFileException.quote(key));
                metadata.put(key, checked(json.getText()));
            }
        }

        private Entry readEntry(JsonParser json, String key) throws IOException {
            String quoted = InvalidFileException.quote(checked(key));
            DType dtype = null;
            Shape shape = null;
            long[] offsets = null;
            expect(json.nextToken(), JsonToken.START_OBJECT, quoted);
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                String field = json.currentName();
                switch (field) {
                    case "dtype" -> {
                        expect(json.nextToken(), JsonToken.VALUE_STRING, quoted + " dtype");
                        String type = json.getText();
                        dtype = DType.parse(type)
                                .orElseThrow(() -> invalid(
                                        name, quoted + " has the unknown type " + InvalidFileException.quote(type)));
                    }
                    case "shape" -> shape = shape(quoted, readNumbers(json, quoted + " shape", MAX_RANK));
                    case "data_offsets" -> offsets = readNumbers(json, quoted + " data_offsets", 2);
                    default ->
                        throw invalid(name, quoted + " has the unknown field " + InvalidFileException.quote(field));
                }
            }
            if (dtype == null || shape == null || offsets == null || offsets.length != 2) {
                throw invalid(name, quoted + " needs a dtype, a shape and two data_offsets");
            }
            if (offsets[1] < offsets[0] || offsets[1] - offsets[0] != (long) shape.size() * dtype.bytes()) {
                throw invalid(
                        name,
                        quoted + " is " + dtype + shape + ", which does not fill the bytes " + offsets[0] + " to "
                                + offsets[1]);
            }
            return new Entry(key, dtype, shape, offsets[0], offsets[1]);
        }

        private long[] readNumbers(JsonParser json, String what, int limit) throws IOException {
            expect(json.nextToken(), JsonToken.START_ARRAY, what);
            long[] numbers = new long[4];
            int count = 0;
            while (json.nextToken() != JsonToken.END_ARRAY) {
                expect(json.currentToken(), JsonToken.VALUE_NUMBER_INT, what);
                if (count == limit) {
                    throw invalid(name, what + " has more than " + limit + " numbers");
                }
                if (count == numbers.length) {
                    numbers = Arrays.copyOf(numbers, 2 * count);
                }
                long number = json.getLongValue();
                if (number < 0) {
                    throw invalid(name, what + " has the negative number " + number);
                }
                numbers[count++] = number;
            }
            return Arrays.copyOf(numbers, count);
        }

        private Shape shape(String quoted, long[] numbers) throws InvalidFileException {
            int[] dims = new int[numbers.length];
            for (int i = 0; i < dims.length; i++) {
                if (numbers[i] > Integer.MAX_VALUE) {
                    throw invalid(name, quoted + " has a dimension of " + numbers[i]);
                }
                dims[i] = (int) numbers[i];
            }
            try {
                Shape shape = Shape.of(dims);
                shape.size();
                return shape;
            } catch (IllegalArgumentException e) {
                throw invalid(name, quoted + " is too large: " + e.getMessage(), e);
            }
        }

        /** Cuts the data into tensors: together they must cover it exactly, without gap or overlap. */
        Map<String, StoredTensor> tensors() throws InvalidFileException {
            List<Entry> byPlace = new ArrayList<>(entries);
            byPlace.sort(Comparator.comparingLong(Entry::begin).thenComparingLong(Entry::end));
            long covered = 0;
            for (Entry entry : byPlace) {
                String quoted = InvalidFileException.quote(entry.name());
                if (entry.begin() < covered) {
                    throw invalid(name, quoted + " overlaps the tensor before it");
                }
                if (entry.begin() > covered) {
                    throw invalid(name, "there is a gap before " + quoted);
                }
                if (entry.end() > data.byteSize()) {
                    throw invalid(
                            name,
                            quoted + " ends at byte " + entry.end() + " of the data, which has " + data.byteSize());
                }
                covered = entry.end();
            }
            if (covered < data.byteSize()) {
                throw invalid(name, (data.byteSize() - covered) + " bytes follow the last tensor");
            }
            Map<String, StoredTensor> tensors = new LinkedHashMap<>();
            for (Entry e : entries) {
                MemorySegment bytes = data.asSlice(e.begin(), e.end() - e.begin());
                tensors.put(e.name(), new StoredTensor(e.name(), e.dtype(), e.shape(), bytes));
            }
            return tensors;
        }

        private void expect(JsonToken actual, JsonToken wanted, String what) throws InvalidFileException {
            if (actual != wanted) {
                throw invalid(name, what + " is not " + description(wanted));
            }
        }

        /** JSON escapes can spell half a surrogate pair, which no UTF-8 text holds. */
        private String checked(String text) throws InvalidFileException {
            if (!StandardCharsets.UTF_8.newEncoder().canEncode(text)) {
                throw invalid(name, "half a surrogate pair in " + InvalidFileException.quote(text));
            }
            return text;
        }

        private static String description(JsonToken token) {
            return switch (token) {
                case START_OBJECT -> "a JSON object";
                case START_ARRAY -> "a JSON array";
                case VALUE_STRING -> "a string";
                default -> "made of whole numbers";
            };
        }

        private static String firstLine(String message) {
            return message.lines().findFirst().orElse("");
        }
    }
}
