// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.io;

import dev.halftone.tensor.DType;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * A tensor as a weight file stores it: contiguous, row-major, little-endian, and not aligned to its element type (read it with the
 * unaligned layouts).
 *
 * @param name the full dotted name
 * @param dtype the element type
 * @param shape the dimensions, outermost first
 * @param data exactly {@code shape.size() * dtype.bytes()} bytes
 */
public record StoredTensor(String name, DType dtype, Shape shape, MemorySegment data) {
    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfFloat FLOAT =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfDouble DOUBLE =
            ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** Checks that the data has the length that the shape and the type ask for. */
    public StoredTensor {
        if (data.byteSize() != (long) shape.size() * dtype.bytes()) {
            throw new IllegalArgumentException(name + ": " + dtype + shape + " needs "
                    + (long) shape.size() * dtype.bytes() + " bytes, not " + data.byteSize());
        }
    }

    /** Returns an F32 copy of a tensor, bit for bit. */
    public static StoredTensor of(String name, Tensor tensor) {
        byte[] bytes = new byte[Math.multiplyExact(tensor.size(), Float.BYTES)];
        MemorySegment data = MemorySegment.ofArray(bytes);
        MemorySegment.copy(tensor.array(), tensor.offset(), data, FLOAT, 0, tensor.size());
        return new StoredTensor(name, DType.F32, tensor.shape(), data);
    }

    /** Returns an F16 copy of a tensor, whose values are rounded to the nearest, even if that is infinite. */
    public static StoredTensor halves(String name, Tensor tensor) {
        byte[] bytes = new byte[Math.multiplyExact(tensor.size(), Short.BYTES)];
        MemorySegment data = MemorySegment.ofArray(bytes);
        for (int i = 0; i < tensor.size(); i++) {
            data.setAtIndex(SHORT, i, Float.floatToFloat16(tensor.array()[tensor.offset() + i]));
        }
        return new StoredTensor(name, DType.F16, tensor.shape(), data);
    }

    /** Returns a U8 tensor over {@code values} (not copied), for packed codes. */
    public static StoredTensor bytes(String name, int[] dims, byte[] values) {
        return new StoredTensor(name, DType.U8, Shape.of(dims), MemorySegment.ofArray(values));
    }

    /** Returns the same data under another name. */
    public StoredTensor withName(String other) {
        return new StoredTensor(other, dtype, shape, data);
    }

    /**
     * Returns the values as a new fp32 tensor. F16, BF16, I16 and narrower are exact, F32 is the same bits; F64, I64 and I32 round to
     * the nearest float; BOOL gives 0 or 1, U8 gives 0..255.
     */
    public Tensor toTensor() {
        float[] values = new float[shape.size()];
        switch (dtype) {
            case F32 -> MemorySegment.copy(data, FLOAT, 0, values, 0, values.length);
            case F64 -> fill(values, i -> (float) data.get(DOUBLE, 8L * i));
            case F16 -> fill(values, i -> Float.float16ToFloat(data.get(SHORT, 2L * i)));
            case BF16 -> fill(values, i -> Float.intBitsToFloat(data.get(SHORT, 2L * i) << 16));
            case I64 -> fill(values, i -> data.get(LONG, 8L * i));
            case I32 -> fill(values, i -> data.get(INT, 4L * i));
            case I16 -> fill(values, i -> data.get(SHORT, 2L * i));
            case I8 -> fill(values, i -> data.get(ValueLayout.JAVA_BYTE, i));
            case U8 -> fill(values, i -> data.get(ValueLayout.JAVA_BYTE, i) & 0xff);
            case BOOL -> fill(values, i -> data.get(ValueLayout.JAVA_BYTE, i) != 0 ? 1 : 0);
        }
        return Tensor.wrap(values, 0, shape);
    }

    /** Returns the values as doubles: exact for F64 and for everything that {@link #toTensor} gives exactly. */
    public double[] toDoubles() {
        double[] values = new double[shape.size()];
        switch (dtype) {
            case F64 -> MemorySegment.copy(data, DOUBLE, 0, values, 0, values.length);
            case I64 -> {
                for (int i = 0; i < values.length; i++) {
                    values[i] = data.get(LONG, 8L * i);
                }
            }
            case I32 -> {
                for (int i = 0; i < values.length; i++) {
                    values[i] = data.get(INT, 4L * i);
                }
            }
            default -> {
                float[] floats = toTensor().array();
                for (int i = 0; i < values.length; i++) {
                    values[i] = floats[i];
                }
            }
        }
        return values;
    }

    /**
     * Returns the bytes of a one-byte type (U8, I8, BOOL) as a new array, for packed codes.
     *
     * @throws IllegalStateException if an element has more than one byte
     */
    public byte[] toBytes() {
        if (dtype.bytes() != 1) {
            throw new IllegalStateException(name + " is " + dtype + ", not bytes");
        }
        return data.toArray(ValueLayout.JAVA_BYTE);
    }

    private interface Element {
        float at(int index);
    }

    private static void fill(float[] values, Element element) {
        for (int i = 0; i < values.length; i++) {
            values[i] = element.at(i);
        }
    }
}
