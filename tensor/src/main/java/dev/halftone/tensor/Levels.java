// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor;

/** The numbers that codes stand for, in ascending order: evenly spaced, or a table. */
public sealed interface Levels permits UniformGrid, LevelTable {
    /** Returns the bits of a code, 1 to 8. */
    int bits();

    /** Returns the level of code 0, the lowest one. */
    float lower();

    /** Returns the level of the last code, the highest one. */
    float upper();

    /** Returns the code of a value, that of a nearest level; NaN has code 0. */
    int code(float v);

    /** Returns the level of a code. */
    float level(int code);
}
