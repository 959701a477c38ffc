// SPDX-License-Identifier: Apache-2.0

/** Quantizers, calibration, recipes, packed layers and the quantized-model file. */
@NullMarked
package dev.halftone.quant;

import org.jspecify.annotations.NullMarked;
