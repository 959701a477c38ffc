// SPDX-License-Identifier: Apache-2.0

/** Tensors: shape, dense fp32 storage and packed low-bit codes. */
@NullMarked
package dev.halftone.tensor;

import org.jspecify.annotations.NullMarked;
