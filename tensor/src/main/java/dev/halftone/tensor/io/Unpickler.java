// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.io;

import dev.halftone.tensor.DType;
import java.math.BigInteger;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Reads Python pickles (protocols 0 to 5 as PyTorch writes them) into plain data. A pickle is a program for a stack machine; this
 * machine knows data, and of Python's names only the few below, each of which only makes data. It can call nothing.
 */
final class Unpickler {
    /** A pickle that is damaged or asks for more than data; the message reads on after "its pickle". */
    static final class PickleException extends Exception {
        private static final long serialVersionUID = 1L;

        PickleException(String message) {
            super(message);
        }
    }

    /** A storage that a tensor lies in, by reference. */
    record Storage(DType dtype, String key, long elements) {}

    /** A strided view of a storage. */
    record TensorView(Storage storage, long offset, List<Object> size, List<Object> stride) {}

    /** Python's None. */
    enum None {
        NONE
    }

    private enum Mark {
        MARK
    }

    /** One of the names that may stand in a pickle. */
    private record Name(String name) {}

    private static final Map<String, DType> STORAGES = Map.of(
            "torch.DoubleStorage", DType.F64,
            "torch.FloatStorage", DType.F32,
            "torch.HalfStorage", DType.F16,
            "torch.BFloat16Storage", DType.BF16,
            "torch.LongStorage", DType.I64,
            "torch.IntStorage", DType.I32,
            "torch.ShortStorage", DType.I16,
            "torch.CharStorage", DType.I8,
            "torch.ByteStorage", DType.U8,
            "torch.BoolStorage", DType.BOOL);

    private static final List<String> FUNCTIONS = List.of(
            "collections.OrderedDict",
            "torch._utils._rebuild_tensor",
            "torch._utils._rebuild_tensor_v2",
            "torch._utils._rebuild_parameter",
            "torch.Size",
            "_codecs.encode",
            "__builtin__.bytes",
            "builtins.bytes");

    /** PyTorch writes one number in digits beyond 64 bits, its magic number; reading them takes time that grows with their square. */
    private static final int MAX_DIGITS = 100;

    private final ByteBuffer in;

    /** What may still be copied: a few bytes can copy the same value again and again, which no weights do. */
    private long copies;

    private final List<Object> stack = new ArrayList<>();
    private final Map<Long, Object> memo = new HashMap<>();

    private Unpickler(ByteBuffer in) {
        this.in = in.order(ByteOrder.LITTLE_ENDIAN);
        this.copies = in.remaining();
    }

    /** Reads one pickle from the buffer's position on and leaves the position behind it. */
    static Object read(ByteBuffer in) throws PickleException {
        try {
            return new Unpickler(in).run();
        } catch (BufferUnderflowException e) {
            throw new PickleException("ends in the middle");
        } catch (NumberFormatException e) {
            throw new PickleException("has a number that is none");
        }
    }

    private Object run() throws PickleException {
        while (true) {
            int op = in.get() & 0xFF;
            switch (op) {
                case 0x80 -> protocol(in.get() & 0xFF);
                case 0x95 -> in.getLong();
                case '.' -> {
                    return pop();
                }
                case '(' -> stack.add(Mark.MARK);
                case '0' -> pop();
                case '1' -> popMark();
                case '2' -> stack.add(top());
                case 'N' -> stack.add(None.NONE);
                case 0x88 -> stack.add(true);
                case 0x89 -> stack.add(false);
                case 'I' -> integerLine(line());
                case 'L' -> stack.add(longLine(line()));
                case 'J' -> stack.add((long) in.getInt());
                case 'K' -> stack.add((long) (in.get() & 0xFF));
                case 'M' -> stack.add((long) (in.getShort() & 0xFFFF));
                case 0x8a -> stack.add(integer(bytes(in.get() & 0xFF)));
                case 0x8b -> stack.add(integer(bytes(in.getInt())));
                case 'F' -> stack.add(Double.parseDouble(line()));
                case 'G' -> stack.add(Double.longBitsToDouble(Long.reverseBytes(in.getLong())));
                case 'X' -> stack.add(text(bytes(in.getInt())));
                case 0x8c -> stack.add(text(bytes(in.get() & 0xFF)));
                case 0x8d -> stack.add(text(bytes(in.getLong())));
                case 'T' -> stack.add(latin(bytes(in.getInt())));
                case 'U' -> stack.add(latin(bytes(in.get() & 0xFF)));
                case 'B' -> stack.add(bytes(in.getInt()));
                case 'C' -> stack.add(bytes(in.get() & 0xFF));
                case 0x8e -> stack.add(bytes(in.getLong()));
                case ']', ')', 0x8f -> stack.add(new ArrayList<>());
                case 'l', 't' -> {
                    List<Object> items = popMark();
                    stack.add(items);
                }
                case 0x85, 0x86, 0x87 -> tuple(op - 0x84);
                case 'a' -> {
                    Object item = pop();
                    list(top()).add(item);
                }
                case 'e', 0x90 -> {
                    List<Object> items = popMark();
                    list(top()).addAll(items);
                }
                case '}' -> stack.add(new LinkedHashMap<>());
                case 'd' -> {
                    Map<Object, Object> map = new LinkedHashMap<>();
                    putAll(map, popMark());
                    stack.add(map);
                }
                case 's' -> {
                    Object value = pop();
                    Object key = pop();
                    putAll(dictionary(top()), List.of(key, value));
                }
                case 'u' -> {
                    List<Object> items = popMark();
                    putAll(dictionary(top()), items);
                }
                case 'c' -> {
                    String module = line();
                    stack.add(name(module, line()));
                }
                case 0x93 -> {
                    String name = string(pop());
                    stack.add(name(string(pop()), name));
                }
                case 'R', 0x81 -> {
                    Object arguments = pop();
                    stack.add(call(pop(), list(arguments)));
                }
                case 'b' -> {
                    // The state of an object: for an OrderedDict its attributes, which are no weights.
                    pop();
                    dictionary(top());
                }
                case 'Q' -> stack.add(storage(list(pop())));
                case 'q' -> memo.put((long) (in.get() & 0xFF), top());
                case 'r' -> memo.put((long) in.getInt(), top());
                case 'p' -> memo.put(Long.parseLong(line()), top());
                case 0x94 -> memo.put((long) memo.size(), top());
                case 'h' -> recall(in.get() & 0xFF);
                case 'j' -> recall(in.getInt());
                case 'g' -> recall(Long.parseLong(line()));
                default -> throw new PickleException(String.format("has the unknown instruction 0x%02x", op));
            }
        }
    }

    private static void protocol(int version) throws PickleException {
        if (version > 5) {
            throw new PickleException("is of protocol " + version + "; 5 is the last known");
        }
    }

    // ---- The stack.

    private Object top() throws PickleException {
        if (stack.isEmpty()) {
            throw new PickleException("takes from an empty stack");
        }
        return stack.getLast();
    }

    private Object pop() throws PickleException {
        Object top = top();
        stack.removeLast();
        return top;
    }

    private List<Object> popMark() throws PickleException {
        int mark = stack.lastIndexOf(Mark.MARK);
        if (mark < 0) {
            throw new PickleException("has no mark where it needs one");
        }
        List<Object> above = stack.subList(mark + 1, stack.size());
        List<Object> items = new ArrayList<>(above);
        above.clear();
        stack.removeLast();
        return items;
    }

    private void tuple(int size) throws PickleException {
        if (stack.size() < size) {
            throw new PickleException("takes from an empty stack");
        }
        List<Object> last = stack.subList(stack.size() - size, stack.size());
        List<Object> items = new ArrayList<>(last);
        last.clear();
        stack.add(items);
    }

    private void recall(long index) throws PickleException {
        Object value = memo.get(index);
        if (value == null) {
            throw new PickleException("recalls value " + index + ", which it never stored");
        }
        stack.add(value);
    }

    @SuppressWarnings("unchecked") // every list that this machine makes is a List<Object>
    private static List<Object> list(Object value) throws PickleException {
        if (value instanceof List<?> items) {
            return (List<Object>) items;
        }
        throw new PickleException("has " + kind(value) + " where it needs a list");
    }

    @SuppressWarnings("unchecked") // every map that this machine makes is a Map<Object, Object>
    private static Map<Object, Object> dictionary(Object value) throws PickleException {
        if (value instanceof Map<?, ?> map) {
            return (Map<Object, Object>) map;
        }
        throw new PickleException("has " + kind(value) + " where it needs a dictionary");
    }

    private static void putAll(Map<Object, Object> map, List<Object> items) throws PickleException {
        if (items.size() % 2 != 0) {
            throw new PickleException("has a dictionary key without a value");
        }
        for (int i = 0; i < items.size(); i += 2) {
            // Only strings: their hash cannot recurse into a structure that contains itself, and a map of many
            // keys of one hash stays fast as long as all are of one type.
            Object key = items.get(i);
            map.put(
                    key instanceof String || key instanceof Long ? key.toString() : kind(key) + " " + i,
                    items.get(i + 1));
        }
    }

    private static String kind(@Nullable Object value) {
        return value == null ? "nothing" : value.getClass().getSimpleName();
    }

    // ---- Literals.

    private byte[] bytes(long length) throws PickleException {
        if (length < 0 || length > in.remaining()) {
            throw new PickleException("ends in the middle of a value of " + length + " bytes");
        }
        byte[] bytes = new byte[(int) length];
        in.get(bytes);
        return bytes;
    }

    private static String text(byte[] utf8) throws PickleException {
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(utf8))
                    .toString();
        } catch (CharacterCodingException e) {
            throw new PickleException("has text that is not UTF-8");
        }
    }

    private static String string(Object value) throws PickleException {
        if (value instanceof String text) {
            return text;
        }
        throw new PickleException("has " + kind(value) + " where it needs a text");
    }

    private static Object longLine(String line) throws PickleException {
        if (line.length() > MAX_DIGITS) {
            throw new PickleException("has a number of " + line.length() + " digits");
        }
        return new BigInteger(line.replace("L", ""));
    }

    private static String latin(byte[] bytes) {
        return new String(bytes, StandardCharsets.ISO_8859_1);
    }

    private String line() {
        StringBuilder line = new StringBuilder();
        for (byte b = in.get(); b != '\n'; b = in.get()) {
            line.append((char) (b & 0xFF));
        }
        return line.toString();
    }

    private void integerLine(String line) {
        switch (line) {
            case "00" -> stack.add(false);
            case "01" -> stack.add(true);
            default -> stack.add(Long.parseLong(line));
        }
    }

    private static Object integer(byte[] littleEndian) {
        byte[] bigEndian = new byte[littleEndian.length + 1];
        for (int i = 0; i < littleEndian.length; i++) {
            bigEndian[bigEndian.length - 1 - i] = littleEndian[i];
        }
        if (littleEndian.length > 0 && littleEndian[littleEndian.length - 1] < 0) {
            bigEndian[0] = -1;
        }
        BigInteger value = new BigInteger(bigEndian);
        return value.bitLength() < 64 ? (Object) value.longValueExact() : value;
    }

    // ---- Names and what they make.

    private static Name name(String module, String name) throws PickleException {
        String full = module + "." + name;
        if (!STORAGES.containsKey(full) && !FUNCTIONS.contains(full)) {
            throw new PickleException("asks for " + InvalidFileException.quote(full) + ", which weights do not need");
        }
        return new Name(full);
    }

    private Object call(Object callee, List<Object> arguments) throws PickleException {
        if (!(callee instanceof Name(String name)) || !FUNCTIONS.contains(name)) {
            throw new PickleException("calls " + kind(callee));
        }
        return switch (name) {
            case "collections.OrderedDict" -> ordered(arguments);
            case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2" -> view(arguments);
            case "torch._utils._rebuild_parameter" -> parameter(arguments);
            case "torch.Size" -> list(argument(arguments, 0));
            case "_codecs.encode" -> encoded(argument(arguments, 0));
            default -> new byte[0];
        };
    }

    private static Object argument(List<Object> arguments, int i) throws PickleException {
        if (i >= arguments.size()) {
            throw new PickleException("calls a function with too few arguments");
        }
        return arguments.get(i);
    }

    private Map<Object, Object> ordered(List<Object> arguments) throws PickleException {
        Map<Object, Object> map = new LinkedHashMap<>();
        if (!arguments.isEmpty()) {
            List<Object> pairs = list(arguments.getFirst());
            copy(pairs.size());
            for (Object pair : pairs) {
                putAll(map, list(pair));
            }
        }
        return map;
    }

    private static Object view(List<Object> arguments) throws PickleException {
        if (argument(arguments, 0) instanceof Storage storage && argument(arguments, 1) instanceof Long offset) {
            return new TensorView(storage, offset, list(argument(arguments, 2)), list(argument(arguments, 3)));
        }
        throw new PickleException("has a tensor without a storage");
    }

    private static Object parameter(List<Object> arguments) throws PickleException {
        if (argument(arguments, 0) instanceof TensorView view) {
            return view;
        }
        throw new PickleException("has a parameter without a tensor");
    }

    private void copy(int size) throws PickleException {
        copies -= size;
        if (copies < 0) {
            throw new PickleException("makes more of its values than it has bytes");
        }
    }

    private byte[] encoded(Object text) throws PickleException {
        if (text instanceof String s) {
            copy(s.length());
            return s.getBytes(StandardCharsets.ISO_8859_1);
        }
        throw new PickleException("encodes " + kind(text));
    }

    private static Storage storage(List<Object> id) throws PickleException {
        if (id.size() >= 5
                && "storage".equals(id.get(0))
                && id.get(1) instanceof Name(String type)
                && id.get(2) instanceof String key
                && id.get(4) instanceof Long elements) {
            DType dtype = STORAGES.get(type);
            if (dtype != null && elements >= 0) {
                if (id.size() > 5 && id.get(5) != None.NONE) {
                    throw new PickleException("has a view of a storage, which PyTorch has not written since 0.4");
                }
                return new Storage(dtype, key, elements);
            }
        }
        throw new PickleException("has a reference to something that is no storage");
    }
}
