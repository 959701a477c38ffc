// SPDX-License-Identifier: Apache-2.0

/** How numbers are quantized and stored: grids and tables of levels for inputs, formats of weights with what they take in a file. */
@NullMarked
package dev.halftone.quant.format;

import org.jspecify.annotations.NullMarked;
