// SPDX-License-Identifier: Apache-2.0

/** Sharing a budget of bits among operands: what each width costs and damages is known, which one everybody gets is decided here. */
@NullMarked
package dev.halftone.quant.allocation;

import org.jspecify.annotations.NullMarked;
