// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.procedural;

/** A stroke font: every sign is a list of straight strokes between the nodes of a grid of 3 columns and 5 rows. */
final class Letters {
    /** For each sign the strokes, two node letters each; nodes are a..o, row by row from the top left. */
    private static final String[] SIGNS = {
        "mb bo jl",
        "am ac mo gh ci",
        "ac am mo",
        "ab bf fl lm am",
        "ac am mo gi",
        "ac am gi",
        "ac am mo io hi",
        "am co gi",
        "bn ac mo",
        "co mo jm",
        "am gc go",
        "am mo",
        "am ae ec co",
        "am ao co",
        "ac am mo co",
        "am ac ci gi",
        "ac am mo co ko",
        "am ac ci gi go",
        "ac ag gi io mo",
        "bn ac",
        "am mo co",
        "an cn",
        "am mh ho co",
        "ao cm",
        "ah ch hn",
        "ac cm mo",
        "bn eb mo",
        "ac ci gi gm mo",
        "ac co mo gi",
        "ag gi co",
        "ac co",
        "ac ag gi ci am mo co",
    };

    private Letters() {}

    static int count() {
        return SIGNS.length;
    }

    /** Draws a sign into the box with corner (x, y), {@code size} high and {@code 0.6 size} wide, slanted by {@code slant}. */
    static void draw(
            Canvas canvas,
            int sign,
            double x,
            double y,
            double size,
            double slant,
            double thickness,
            Canvas.Paint ink) {
        for (String stroke : SIGNS[sign].split(" ", -1)) {
            int from = stroke.charAt(0) - 'a';
            int to = stroke.charAt(1) - 'a';
            canvas.stroke(
                    nodeX(from % 3, from / 3, x, size, slant),
                    nodeY(from / 3, y, size),
                    nodeX(to % 3, to / 3, x, size, slant),
                    nodeY(to / 3, y, size),
                    thickness,
                    ink);
        }
    }

    private static double nodeX(int column, int row, double x, double size, double slant) {
        return x + column * 0.3 * size + slant * (4 - row) * size / 4;
    }

    private static double nodeY(int row, double y, double size) {
        return y + row * size / 4;
    }
}
