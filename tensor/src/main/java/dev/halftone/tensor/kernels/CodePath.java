// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

/** A way in which a {@link PackedConv} multiplies codes. All ways give the same bits. */
public enum CodePath {
    /** 1-bit codes, 32 of them an int: the sum of their products is the number of bits that both ints have. */
    BIT_COUNT("bit counting"),
    /** The products of a few neighbouring codes from a table that fits into a vector register. */
    LOOK_UP("table look-up"),
    /** Codes as floats: integers below 2^24 are exact in fp32. */
    FLOAT("exact floats"),
    /** The reference: one product after the other. */
    SCALAR("scalar");

    private final String label;

    CodePath(String label) {
        this.label = label;
    }

    /** Returns its name for people. */
    public String label() {
        return label;
    }
}
