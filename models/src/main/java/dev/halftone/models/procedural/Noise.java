// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.procedural;

/** Value noise and its fractal sum: smooth random functions of the plane, the same on every machine. */
record Noise(long seed) {
    /** Returns noise in [-1, 1] that varies over distances of about 1. */
    double at(double x, double y) {
        int i = (int) Math.floor(x);
        int j = (int) Math.floor(y);
        double u = smooth(x - i);
        double v = smooth(y - j);
        double top = corner(i, j) + u * (corner(i + 1, j) - corner(i, j));
        double bottom = corner(i, j + 1) + u * (corner(i + 1, j + 1) - corner(i, j + 1));
        return top + v * (bottom - top);
    }

    /** Returns octaves of {@link #at}, each twice as fine and {@code gain} times as strong as the one before, scaled to about [-1, 1]. */
    double fractal(double x, double y, int octaves, double gain) {
        double sum = 0;
        double weight = 1;
        double total = 0;
        for (int o = 0; o < octaves; o++) {
            // The shift keeps the lattices of the octaves from lining up at the origin.
            sum += weight * at(x + 17.3 * o, y - 9.1 * o);
            total += weight;
            weight *= gain;
            x *= 2;
            y *= 2;
        }
        return 1.6 * sum / total;
    }

    private static double smooth(double t) {
        return t * t * t * (t * (6 * t - 15) + 10);
    }

    private double corner(int i, int j) {
        long h = seed + i * 0x9E3779B97F4A7C15L + j * 0xC2B2AE3D27D4EB4FL;
        h = (h ^ (h >>> 30)) * 0xBF58476D1CE4E5B9L;
        h = (h ^ (h >>> 27)) * 0x94D049BB133111EBL;
        return ((h ^ (h >>> 31)) >> 11) * 0x1p-52;
    }
}
