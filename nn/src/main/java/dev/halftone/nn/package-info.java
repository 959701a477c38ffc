// SPDX-License-Identifier: Apache-2.0

/** Modules and layers, the recorded {@link dev.halftone.nn.Graph}, gradients, and the {@link dev.halftone.nn.Plan} that executes it. */
@NullMarked
package dev.halftone.nn;

import org.jspecify.annotations.NullMarked;
