// SPDX-License-Identifier: Apache-2.0

/** Deterministic images made from a seed: default calibration and test images, and unlimited training data. */
@NullMarked
package dev.halftone.models.procedural;

import org.jspecify.annotations.NullMarked;
