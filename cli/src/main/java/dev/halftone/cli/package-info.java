// SPDX-License-Identifier: Apache-2.0

/** The {@code halftone} command line. */
@NullMarked
package dev.halftone.cli;

import org.jspecify.annotations.NullMarked;
