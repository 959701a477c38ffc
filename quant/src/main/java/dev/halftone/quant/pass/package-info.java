// SPDX-License-Identifier: Apache-2.0

/**
 * The algorithms' steps: each {@link dev.halftone.quant.Pass} chooses bits, bounds, codes or formats, changes weights, or trains; beside
 * them is what several have in common. Recipes put them together.
 */
@NullMarked
package dev.halftone.quant.pass;

import org.jspecify.annotations.NullMarked;
