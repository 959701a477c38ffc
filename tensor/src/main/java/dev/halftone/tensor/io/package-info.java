// SPDX-License-Identifier: Apache-2.0

/** Weight files: safetensors (read and write) and PyTorch {@code .pth}/{@code .pt} (read). */
@NullMarked
package dev.halftone.tensor.io;

import org.jspecify.annotations.NullMarked;
