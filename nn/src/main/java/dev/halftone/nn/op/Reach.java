// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

/**
 * How the rows of an op's output depend on the rows of its operands, for ops on feature maps {@code [1, H, W, C]} that can be
 * computed some rows at a time. Output rows {@code [a, b)} need rows {@code [a / factor - radius, b / factor + radius)} of the first
 * operand, as far as it has them, and {@code [a / factor, b / factor)} of others.
 *
 * @param radius rows above and below
 * @param factor output rows for each row of the operands
 * @param grain what {@code a} must be a multiple of, and {@code b} unless it is the last row; itself a multiple of {@code factor}
 */
public record Reach(int radius, int factor, int grain) {
    /** Each output row is made of one row of every operand. */
    public static final Reach ROW = new Reach(0, 1, 1);

    /** Each output row is made of the rows up to {@code radius} away. */
    public static Reach of(int radius) {
        return new Reach(radius, 1, 1);
    }

    /**
     * Returns how far beyond rows that begin and end at multiples of the grain the operands are read, if the output's rows are needed
     * {@code margin} beyond.
     */
    public int margin(int margin) {
        return Math.ceilDiv(margin, grain) * grain / factor + radius;
    }
}
