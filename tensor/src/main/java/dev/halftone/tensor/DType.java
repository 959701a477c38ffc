// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor;

import java.util.Optional;

/** Element types that weight files store, by their safetensors names. */
public enum DType {
    /** IEEE double. */
    F64(8),
    /** IEEE single. */
    F32(4),
    /** IEEE half. */
    F16(2),
    /** bfloat16. */
    BF16(2),
    /** Signed 64-bit. */
    I64(8),
    /** Signed 32-bit. */
    I32(4),
    /** Signed 16-bit. */
    I16(2),
    /** Signed 8-bit. */
    I8(1),
    /** Unsigned 8-bit; packed low-bit codes are stored as this. */
    U8(1),
    /** One byte, 0 or 1. */
    BOOL(1);

    private final int bytes;

    DType(int bytes) {
        this.bytes = bytes;
    }

    /** Returns the size of one element in bytes. */
    public int bytes() {
        return bytes;
    }

    /** Returns the type with exactly this safetensors name, or empty. */
    public static Optional<DType> parse(String name) {
        for (DType t : values()) {
            if (t.name().equals(name)) {
                return Optional.of(t);
            }
        }
        return Optional.empty();
    }
}
