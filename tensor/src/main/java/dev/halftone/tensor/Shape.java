// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor;

import java.util.Arrays;

/**
 * The dimensions of a row-major tensor, outermost first. Rank 0 is a scalar with one element; a dimension may be 0. A shape may have
 * more elements than an array holds: it is that of a map which is never in memory as a whole.
 */
public final class Shape {
    private static final Shape SCALAR = new Shape(new int[0], 1);

    private final int[] dims;
    private final long elements;

    private Shape(int[] dims, long elements) {
        this.dims = dims;
        this.elements = elements;
    }

    /**
     * Returns the shape with these dimensions.
     *
     * @throws IllegalArgumentException if a dimension is negative or the element count exceeds 2^63 - 1
     */
    public static Shape of(int... dims) {
        if (dims.length == 0) {
            return SCALAR;
        }
        long elements = 1;
        for (int d : dims) {
            if (d < 0) {
                throw new IllegalArgumentException("negative dimension in shape " + Arrays.toString(dims));
            }
            if (elements > Long.MAX_VALUE / Math.max(1, d)) {
                throw new IllegalArgumentException(
                        "shape " + Arrays.toString(dims) + " has more than 2^63 - 1 elements");
            }
            elements *= d;
        }
        return new Shape(dims.clone(), elements);
    }

    /** Returns the number of dimensions. */
    public int rank() {
        return dims.length;
    }

    /** Returns the number of elements (1 for a scalar). */
    public long elements() {
        return elements;
    }

    /**
     * Returns the number of elements of a tensor of this shape.
     *
     * @throws IllegalArgumentException if it exceeds 2^31 - 1, which no tensor has
     */
    public int size() {
        if (elements > Integer.MAX_VALUE) {
            throw new IllegalArgumentException(
                    "shape " + this + " has more than 2^31 - 1 elements; process it in tiles");
        }
        return (int) elements;
    }

    /** Returns dimension {@code axis}; a negative axis counts from the end, so {@code -1} is the innermost. */
    public int dim(int axis) {
        int i = axis < 0 ? axis + dims.length : axis;
        if (i < 0 || i >= dims.length) {
            throw new IllegalArgumentException("axis " + axis + " of shape " + this);
        }
        return dims[i];
    }

    /** Returns a copy of the dimensions. */
    public int[] dims() {
        return dims.clone();
    }

    /** Returns this shape with dimension {@code axis} (negative counts from the end) replaced. */
    public Shape with(int axis, int dim) {
        int[] d = dims.clone();
        d[axis < 0 ? axis + d.length : axis] = dim;
        return of(d);
    }

    @Override
    public boolean equals(Object o) {
        return o instanceof Shape other && Arrays.equals(dims, other.dims);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(dims);
    }

    /** Returns the dimensions in brackets, for example {@code [1, 48, 48, 64]}. */
    @Override
    public String toString() {
        return Arrays.toString(dims);
    }
}
