// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.format;

import dev.halftone.tensor.DType;
import dev.halftone.tensor.PackedCodes;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.StoredTensor;
import java.util.Map;

/**
 * The tensors of a stored weight, which are taken out of a file one by one. What is missing or of another type or shape is an
 * {@link IllegalArgumentException}.
 *
 * @param tensors of the file
 * @param name what the names of the weight's tensors begin with
 */
public record StoredParts(Map<String, StoredTensor> tensors, String name) {
    /** Returns the tensors of a part of this weight. */
    StoredParts of(String part) {
        return new StoredParts(tensors, name + part);
    }

    /** Returns whether there is a tensor. */
    boolean has(String part) {
        return tensors.containsKey(name + part);
    }

    /** Takes codes. */
    PackedCodes codes(String part, int bits, int size) {
        StoredTensor stored = take(part, DType.U8, Shape.of(PackedCodes.byteLength(size, bits)));
        return PackedCodes.of(stored.toBytes(), bits, size);
    }

    /** Takes numbers in half precision. */
    Tensor halves(String part, Shape shape) {
        return take(part, DType.F16, shape).toTensor();
    }

    /** Takes numbers in single precision. */
    Tensor floats(String part, Shape shape) {
        return take(part, DType.F32, shape).toTensor();
    }

    /** Takes a tensor of rank 1 and any length. */
    public StoredTensor vector(String part, DType dtype) {
        StoredTensor stored = tensors.get(name + part);
        return take(part, dtype, stored == null || stored.shape().rank() != 1 ? Shape.of(0) : stored.shape());
    }

    private StoredTensor take(String part, DType dtype, Shape shape) {
        StoredTensor stored = tensors.remove(name + part);
        if (stored == null) {
            throw new IllegalArgumentException(name + part + " is missing");
        }
        if (stored.dtype() != dtype || !stored.shape().equals(shape)) {
            throw new IllegalArgumentException(
                    name + part + " is " + stored.dtype() + stored.shape() + " instead of " + dtype + shape);
        }
        return stored;
    }
}
