// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor;

import java.util.Arrays;

/**
 * The dimensions of a row-major tensor, outermost first. Rank 0 is a scalar with one element; a dimension may be 0.
 */
public final class Shape {
    private static final Shape SCALAR = new Shape(new int[0], 1);

    private final int[] dims;
    private final int size;

    private Shape(int[] dims, int size) {
        this.dims = dims;
        this.size = size;
    }

    /**
     * Returns the shape with these dimensions.
     *
     * @throws IllegalArgumentException if a dimension is negative or the element count exceeds 2^31 - 1
     */
    public static Shape of(int... dims) {
        if (dims.length == 0) {
            return SCALAR;
        }
        long size = 1;
        for (int d : dims) {
            if (d < 0) {
                throw new IllegalArgumentException("negative dimension in shape " + Arrays.toString(dims));
            }
            size *= d;
            if (size > Integer.MAX_VALUE) {
                throw new IllegalArgumentException(
                        "shape " + Arrays.toString(dims) + " has more than 2^31 - 1 elements; process it in tiles");
            }
        }
        return new Shape(dims.clone(), (int) size);
    }

    /** Returns the number of dimensions. */
    public int rank() {
        return dims.length;
    }

    /** Returns the number of elements (1 for a scalar). */
    public int size() {
        return size;
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
