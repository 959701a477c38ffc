// SPDX-License-Identifier: Apache-2.0

/** Optimizers, learning-rate schedules and the training loop. */
@NullMarked
package dev.halftone.nn.optim;

import org.jspecify.annotations.NullMarked;
