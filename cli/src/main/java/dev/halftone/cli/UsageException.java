// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import java.io.Serial;

/** Arguments that each parse but do not make sense; the message is one sentence that says what to do. */
final class UsageException extends RuntimeException {
    @Serial
    private static final long serialVersionUID = 1L;

    UsageException(String message) {
        super(message);
    }
}
