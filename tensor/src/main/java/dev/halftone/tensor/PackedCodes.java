// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor;

import java.util.Arrays;
import java.util.Objects;

/**
 * An immutable sequence of unsigned codes of 1 to 8 bits, stored densely.
 *
 * <p>The bytes are one bit stream, least significant bit first: code {@code i} occupies the stream's bits {@code i * bits} to
 * {@code (i + 1) * bits - 1}, and stream bit {@code j} is bit {@code j % 8} of byte {@code j / 8}. Bits behind the last code
 * are zero, so equal codes give equal bytes. This is also the form in which codes are stored in files (dtype U8).
 */
public final class PackedCodes {
    private final byte[] bytes;
    private final int bits;
    private final int size;

    private PackedCodes(byte[] bytes, int bits, int size) {
        this.bytes = bytes;
        this.bits = bits;
        this.size = size;
    }

    /**
     * Packs codes that come as one unsigned byte each.
     *
     * @param codes values {@code 0 .. 2^bits - 1}, as unsigned bytes
     * @param bits bits per code, 1 to 8
     * @throws IllegalArgumentException if a code does not fit into {@code bits} bits
     */
    public static PackedCodes pack(byte[] codes, int bits) {
        byte[] bytes = new byte[byteLength(codes.length, bits)];
        for (int i = 0; i < codes.length; i++) {
            int code = codes[i] & 0xFF;
            if (code >>> bits != 0) {
                throw new IllegalArgumentException(
                        "code " + code + " at index " + i + " needs more than " + bits + " bits");
            }
            long at = (long) i * bits;
            int index = (int) (at >>> 3);
            int shifted = code << (at & 7);
            bytes[index] |= (byte) shifted;
            if (shifted > 0xFF) {
                bytes[index + 1] |= (byte) (shifted >>> 8);
            }
        }
        return new PackedCodes(bytes, bits, codes.length);
    }

    /**
     * Returns the codes that {@code bytes} (copied) hold.
     *
     * @throws IllegalArgumentException if the length is not {@link #byteLength} or a bit behind the last code is set
     */
    public static PackedCodes of(byte[] bytes, int bits, int size) {
        int expected = byteLength(size, bits);
        if (bytes.length != expected) {
            throw new IllegalArgumentException(
                    size + " codes of " + bits + " bits take " + expected + " bytes, not " + bytes.length);
        }
        int used = (int) (((long) size * bits) & 7);
        if (used != 0 && (bytes[expected - 1] & 0xFF) >>> used != 0) {
            throw new IllegalArgumentException(
                    "bits are set behind the last of " + size + " codes of " + bits + " bits");
        }
        return new PackedCodes(bytes.clone(), bits, size);
    }

    /** Returns the number of bytes that {@code size} codes of {@code bits} bits take. */
    public static int byteLength(int size, int bits) {
        if (bits < 1 || bits > 8) {
            throw new IllegalArgumentException("bits per code must be 1 to 8, not " + bits);
        }
        if (size < 0) {
            throw new IllegalArgumentException("negative number of codes: " + size);
        }
        return (int) (((long) size * bits + 7) >>> 3);
    }

    /** Returns the number of codes. */
    public int size() {
        return size;
    }

    /** Returns the bits per code, 1 to 8. */
    public int bits() {
        return bits;
    }

    /** Returns code {@code index}, {@code 0 .. 2^bits - 1}. */
    public int get(int index) {
        long at = (long) Objects.checkIndex(index, size) * bits;
        int first = (int) (at >>> 3);
        int window = bytes[first] & 0xFF;
        if (first + 1 < bytes.length) {
            window |= (bytes[first + 1] & 0xFF) << 8;
        }
        return window >>> (at & 7) & ((1 << bits) - 1);
    }

    /** Returns the codes as one unsigned byte each. */
    public byte[] unpack() {
        byte[] codes = new byte[size];
        for (int i = 0; i < size; i++) {
            codes[i] = (byte) get(i);
        }
        return codes;
    }

    /** Returns a copy of the packed bytes, {@link #byteLength} of them. */
    public byte[] toByteArray() {
        return bytes.clone();
    }

    @Override
    public boolean equals(Object o) {
        return o instanceof PackedCodes other
                && bits == other.bits
                && size == other.size
                && Arrays.equals(bytes, other.bytes);
    }

    @Override
    public int hashCode() {
        return 31 * (31 * bits + size) + Arrays.hashCode(bytes);
    }

    /** Returns for example {@code PackedCodes[36864 x 2 bits]}. */
    @Override
    public String toString() {
        return "PackedCodes[" + size + " x " + bits + " bits]";
    }
}
