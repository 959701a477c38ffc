// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Shape;

/** One dimension of a row-major tensor, which is then {@code [outer, length, inner]}. */
record Axis(int outer, int length, int inner) {
    /** Returns dimension {@code axis} of a shape; a negative axis counts from the end. */
    static Axis of(Shape shape, int axis) {
        int length = shape.dim(axis);
        int outer = 1;
        int inner = 1;
        int at = axis < 0 ? axis + shape.rank() : axis;
        for (int i = 0; i < shape.rank(); i++) {
            if (i < at) {
                outer *= shape.dim(i);
            } else if (i > at) {
                inner *= shape.dim(i);
            }
        }
        return new Axis(outer, length, inner);
    }
}
