// SPDX-License-Identifier: Apache-2.0

/** The super-resolution networks, the bundled checkpoints, image I/O, metrics, tiling and datasets. */
module dev.halftone.models {
    requires transitive dev.halftone.quant;
    requires transitive java.desktop;
    requires static org.jspecify;

    exports dev.halftone.models;
    exports dev.halftone.models.image;
    exports dev.halftone.models.procedural;
}
