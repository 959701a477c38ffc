// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.procedural;

/** What a procedural image shows. */
public enum Kind {
    /** Shapes of all sizes that occlude each other: the classic model of natural image statistics. */
    DEAD_LEAVES,
    /** Soft shading with a few hard edges. */
    GRADIENTS,
    /** Lines of letters and digits. */
    TEXT,
    /** Bars, zone plates and stars: every frequency and orientation. */
    GRATINGS,
    /** Clouds, marble, wood and rock. */
    FRACTAL_TEXTURE,
    /** Spheres on a tiled floor under a sky, with shadows. */
    SCENE,
    /** A wall of windows in perspective. */
    FACADE,
    /** Curved pen strokes on paper. */
    LINES
}
