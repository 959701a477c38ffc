// SPDX-License-Identifier: Apache-2.0

/** Choosing quantization bounds from data: what is known about the values, and the methods that turn it into a grid. */
@NullMarked
package dev.halftone.quant.calibration;

import org.jspecify.annotations.NullMarked;
