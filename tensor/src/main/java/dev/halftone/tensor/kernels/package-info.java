// SPDX-License-Identifier: Apache-2.0

/** The hot loops: one interface per family, a scalar twin that is the specification, and the Vector API twin. */
@NullMarked
package dev.halftone.tensor.kernels;

import org.jspecify.annotations.NullMarked;
