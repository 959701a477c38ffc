// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.format;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;

/** Numbers beside codes, which are stored in half precision: 16 bits each. */
public final class Halves {
    private Halves() {}

    /** Returns the nearest number in half precision. */
    public static float nearest(double value) {
        return Float.float16ToFloat(Float.floatToFloat16((float) value));
    }

    /**
     * Returns the numbers as they are stored.
     *
     * @param what they are, for errors
     * @throws IllegalArgumentException if the shape is another, or a number is not finite in half precision
     */
    static Tensor of(String what, Tensor values, Shape shape) {
        if (!values.shape().equals(shape)) {
            throw new IllegalArgumentException("a " + what + " " + values.shape() + " instead of " + shape);
        }
        Tensor halves = Tensor.zeros(shape);
        for (int i = 0; i < halves.size(); i++) {
            float half = nearest(values.array()[values.offset() + i]);
            if (!Float.isFinite(half)) {
                throw new IllegalArgumentException("a " + what + " of " + values.array()[values.offset() + i]
                        + ", which is no number in half precision");
            }
            halves.array()[i] = half;
        }
        return halves;
    }
}
