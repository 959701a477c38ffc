// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.ActivationCodes;
import dev.halftone.tensor.kernels.PackedConv;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Where a plan keeps a value while it runs. Rows are computed from top to bottom, some in every pass over the steps; of the rows that
 * earlier passes have computed, those that a step still needs are carried over.
 *
 * <pre>{@code
 *   rows of the map:   0 ........ from ....... done ........ target ........ height
 *   the buffer holds:             [  carried  ][ this pass  ]
 * }</pre>
 *
 * The buffer is lent to other values between the last step of a pass that reads this one and the next pass; meanwhile the rows to be
 * carried over are in a place of their own. A value that is computed as a whole has one row.
 */
abstract class Place {
    /** A step that reads the value; its row 0 is the first operand, which may be read beyond the rows that are computed. */
    record Reader(Step step, int radius) {}

    final int height;
    final List<Reader> readers = new ArrayList<>();
    /** The most rows that the buffer and the carry have to hold. */
    int capacity;

    int carried;
    /** The first row that is still needed, and the end of those that are computed. */
    int from;

    int done;
    /** The row of the map that row 0 of the buffer stands for. */
    int first;

    Place(int height) {
        this.height = height;
    }

    final void reset() {
        from = 0;
        done = 0;
        first = 0;
    }

    /** Prepares for rows up to {@code target}; {@code dry} only takes note of how many there are. */
    final void begin(int target, boolean dry) {
        capacity = Math.max(capacity, target - from);
        // The last row of the map is the last one of the buffer, where the codes of a packed convolution have their
        // border.
        first = target == height ? height - capacity : from;
        if (!dry && done > from) {
            restore(from, done - from);
        }
    }

    /** Ends a pass: keeps the rows that some reader still needs. */
    final void finish(boolean dry) {
        from = done;
        for (Reader reader : readers) {
            from = Math.min(from, reader.step.needs(reader.radius, height));
        }
        carried = Math.max(carried, done - from);
        if (!dry && done > from) {
            save(from, done - from);
        }
    }

    /** Returns the bytes of the carry. */
    abstract long carryBytes();

    /** Copies rows from the carry to the buffer. */
    abstract void restore(int row, int count);

    /** Copies rows from the buffer to the carry. */
    abstract void save(int row, int count);

    /** fp32 values. */
    static final class Values extends Place {
        final Shape shape;
        private final long rowSize;
        private float[] buffer = {};
        private int offset;
        private float @Nullable [] carry;

        /** Creates a place for a feature map {@code [1, height, W, C]}, or, with one row, for any value. */
        Values(Shape shape, int height) {
            super(height);
            this.shape = shape;
            this.rowSize = shape.elements() / height;
        }

        /** Returns the place of a value that is known and never computed. */
        static Values constant(Tensor tensor) {
            Values place = new Values(tensor.shape(), 1);
            place.use(tensor.array(), tensor.offset());
            place.done = 1;
            return place;
        }

        /** Uses memory of {@code capacity} rows. */
        void use(float[] array, int at) {
            buffer = array;
            offset = at;
        }

        long rowSize() {
            return rowSize;
        }

        private int values(int rows) {
            return Math.toIntExact(rows * rowSize);
        }

        /** Returns rows {@code [a, b)}. */
        Tensor rows(int a, int b) {
            return height == 1
                    ? Tensor.wrap(buffer, offset, shape)
                    : Tensor.wrap(buffer, offset + values(a - first), shape.with(1, b - a));
        }

        @Override
        void restore(int row, int count) {
            if (carry != null) {
                System.arraycopy(carry, 0, buffer, offset + values(row - first), values(count));
            }
        }

        @Override
        void save(int row, int count) {
            if (carry == null) {
                carry = new float[values(carried)];
            }
            System.arraycopy(buffer, offset + values(row - first), carry, 0, values(count));
        }

        @Override
        long carryBytes() {
            return 4L * carried * rowSize;
        }
    }

    /** Codes of a packed convolution's input. */
    static final class Codes extends Place {
        final PackedConv conv;
        final Shape shape;
        private @Nullable ActivationCodes buffer;
        private @Nullable ActivationCodes carry;

        Codes(PackedConv conv, Shape shape, int height) {
            super(height);
            this.conv = conv;
            this.shape = shape;
        }

        void use(ActivationCodes codes) {
            buffer = codes;
        }

        private ActivationCodes buffer() {
            if (buffer == null) {
                throw new IllegalStateException("codes of " + shape + " are used before they have memory");
            }
            return buffer;
        }

        ActivationCodes rows(int a, int b) {
            return height == 1 ? buffer() : buffer().rows(a - first, b - first);
        }

        @Override
        void restore(int row, int count) {
            if (carry != null) {
                carry.copyRows(0, buffer(), row - first, count);
            }
        }

        @Override
        void save(int row, int count) {
            if (carry == null) {
                carry = conv.allocate(1, carried, shape.dim(2));
            }
            buffer().copyRows(row - first, carry, 0, count);
        }

        /** Returns whether memory for this place also serves another one. */
        boolean fits(Codes other) {
            return capacity == other.capacity
                    && shape.equals(other.shape)
                    && other.conv.accepts(conv.allocate(1, 1, 1));
        }

        /** Allocates a buffer for this place. */
        ActivationCodes allocate() {
            return height == 1
                    ? conv.allocate(shape.dim(0), shape.dim(1), shape.dim(2))
                    : conv.allocate(1, capacity, shape.dim(2));
        }

        /** Returns the bytes of a buffer of {@code rows} rows; every row of a layout takes the same. */
        long bytes(int rows) {
            long one = conv.allocate(1, 1, shape.dim(2)).bytes();
            long row = conv.allocate(1, 2, shape.dim(2)).bytes() - one;
            return height == 1
                    ? shape.dim(0) * (one + (shape.dim(1) - 1) * row)
                    : rows == 0 ? 0 : one + (rows - 1) * row;
        }

        @Override
        long carryBytes() {
            return height == 1 ? 0 : bytes(carried);
        }
    }
}
