// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import java.io.Serial;

/** Kernels were forced that cannot run in this JVM. */
public final class UnavailableKernelsException extends RuntimeException {
    @Serial
    private static final long serialVersionUID = 1L;

    UnavailableKernelsException(String message) {
        super(message);
    }
}
