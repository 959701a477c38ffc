// SPDX-License-Identifier: Apache-2.0

/**
 * The algorithms, one file each, and their list. A new one is a class with a {@code recipe()} of existing passes or of passes of its own,
 * and a line in {@link dev.halftone.quant.recipe.Recipes}.
 */
@NullMarked
package dev.halftone.quant.recipe;

import org.jspecify.annotations.NullMarked;
