// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

/**
 * How a camera was held: how stored pixels are turned for display (Exif 2.32, tag 274, in its order). The names say where the stored
 * first row and first column are in the picture.
 */
enum Orientation {
    TOP_LEFT,
    TOP_RIGHT,
    BOTTOM_RIGHT,
    BOTTOM_LEFT,
    LEFT_TOP,
    RIGHT_TOP,
    RIGHT_BOTTOM,
    LEFT_BOTTOM;

    /** Returns the orientation with Exif's number 1..8; other numbers mean nothing and change nothing. */
    static Orientation of(int number) {
        return number < 1 || number > values().length ? TOP_LEFT : values()[number - 1];
    }

    /** Returns whether stored rows become columns. */
    boolean transposes() {
        return compareTo(LEFT_TOP) >= 0;
    }

    /** Returns whether the picture's rows run against the stored rows (or columns, if it {@link #transposes()}). */
    boolean upsideDown() {
        return this == BOTTOM_RIGHT || this == BOTTOM_LEFT || this == RIGHT_BOTTOM || this == LEFT_BOTTOM;
    }

    /** Returns whether the picture's columns run against the stored columns (or rows, if it {@link #transposes()}). */
    boolean mirrored() {
        return this == TOP_RIGHT || this == BOTTOM_RIGHT || this == RIGHT_TOP || this == RIGHT_BOTTOM;
    }
}
