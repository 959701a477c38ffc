// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

/** What the samples of a pixel are, in this order. */
public enum Channels {
    /** One shade. */
    GREY,
    /** One shade and its opacity. */
    GREY_ALPHA,
    /** Red, green, blue. */
    RGB,
    /** Red, green, blue, opacity. */
    RGB_ALPHA;

    /** Returns the channels with these properties. */
    public static Channels of(boolean grey, boolean alpha) {
        return grey ? (alpha ? GREY_ALPHA : GREY) : (alpha ? RGB_ALPHA : RGB);
    }

    /** Returns whether there is one shade only. */
    public boolean grey() {
        return this == GREY || this == GREY_ALPHA;
    }

    /** Returns whether the last sample is opacity. */
    public boolean alpha() {
        return this == GREY_ALPHA || this == RGB_ALPHA;
    }

    /** Returns the number of colour samples, 1 or 3. */
    public int colours() {
        return grey() ? 1 : 3;
    }

    /** Returns the number of samples, 1 to 4. */
    public int count() {
        return colours() + (alpha() ? 1 : 0);
    }
}
