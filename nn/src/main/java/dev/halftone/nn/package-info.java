// SPDX-License-Identifier: Apache-2.0

/** A small neural-network layer set: ops with gradients, the recorded graph, layers, optimizers, execution plans. */
@NullMarked
package dev.halftone.nn;

import org.jspecify.annotations.NullMarked;
