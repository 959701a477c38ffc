// SPDX-License-Identifier: Apache-2.0

/** Small dense matrices in double precision: what passes need of linear algebra. */
@NullMarked
package dev.halftone.quant.matrix;

import org.jspecify.annotations.NullMarked;
