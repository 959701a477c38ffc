// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.util.Objects;

/**
 * A buffer for the codes of one feature map, in the private layout of the {@link PackedConv} that allocated it. Rows may be
 * written by several threads at once, and the buffer may be used again for the next feature map of the same size.
 */
public interface ActivationCodes {
    /** Returns {@code [batch, height, width, channels]}. */
    Shape shape();

    /** Returns the memory that the codes take, in bytes. */
    long bytes();

    /**
     * Returns rows {@code [from, to)} of a map with one image as a map of their own, over the same memory. Convolutions of the part
     * see the rows around it; only where the part ends with the map do they see a border.
     */
    ActivationCodes rows(int from, int to);

    /** Copies {@code count} rows, from row {@code from} on, to those from {@code toRow} on of a map of the same layout and width. */
    void copyRows(int from, ActivationCodes to, int toRow, int count);

    /** Returns a copy of the codes as one unsigned byte each, in the order of {@link #shape()}. */
    byte[] toArray();

    /**
     * Checks that a feature map has as many pixels as this one and that a range of rows lies inside it.
     *
     * @param map must be {@code [batch, height, width, channels]}
     * @throws IllegalArgumentException if it is not
     * @throws IndexOutOfBoundsException if the range is not within {@code [0, batch * height)}
     */
    default void check(Tensor map, int channels, int fromRow, int toRow) {
        Shape expected = shape().with(3, channels);
        if (!map.shape().equals(expected)) {
            throw new IllegalArgumentException("the feature map must be " + expected + ", not " + map.shape());
        }
        checkRows(fromRow, toRow);
    }

    /**
     * Checks that a range of rows lies inside this feature map.
     *
     * @throws IndexOutOfBoundsException if the range is not within {@code [0, batch * height)}
     */
    default void checkRows(int fromRow, int toRow) {
        Objects.checkFromToIndex(fromRow, toRow, shape().dim(0) * shape().dim(1));
    }
}
