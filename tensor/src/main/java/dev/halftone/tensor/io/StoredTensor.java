// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.io;

import dev.halftone.tensor.DType;
import dev.halftone.tensor.Shape;
import java.lang.foreign.MemorySegment;

/**
 * A tensor as a weight file stores it: contiguous, row-major, little-endian.
 *
 * @param name the full dotted name
 * @param dtype the element type
 * @param shape the dimensions, outermost first
 * @param data exactly {@code shape.size() * dtype.bytes()} bytes
 */
public record StoredTensor(String name, DType dtype, Shape shape, MemorySegment data) {
    /** Checks that the data has the length that the shape and the type ask for. */
    public StoredTensor {
        if (data.byteSize() != (long) shape.size() * dtype.bytes()) {
            throw new IllegalArgumentException(name + ": " + dtype + shape + " needs " + (long) shape.size() * dtype.bytes()
                    + " bytes, not " + data.byteSize());
        }
    }
}
