// SPDX-License-Identifier: Apache-2.0

/** The super-resolution networks, the bundled checkpoints, image I/O, metrics, tiling and datasets. */
@NullMarked
package dev.halftone.models;

import org.jspecify.annotations.NullMarked;
