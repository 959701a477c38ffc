// SPDX-License-Identifier: Apache-2.0

/** The op vocabulary: every differentiable operation that a layer may call, each with its shape rule, forward and backward. */
@NullMarked
package dev.halftone.nn.op;

import org.jspecify.annotations.NullMarked;
