// SPDX-License-Identifier: Apache-2.0

/** The Vector API twins of the kernels: the only package that uses {@code jdk.incubator.vector}. */
@NullMarked
package dev.halftone.tensor.vector;

import org.jspecify.annotations.NullMarked;
