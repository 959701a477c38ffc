// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.io;

import java.io.IOException;
import java.io.Serial;
import java.nio.file.Path;

/** A file that is not what it should be: the message is one sentence that names the file and the reason. */
public final class InvalidFileException extends IOException {
    @Serial
    private static final long serialVersionUID = 1L;

    /** Creates the exception; {@code reason} reads on after the file's name, for example "is not a safetensors file: ...". */
    public InvalidFileException(Path file, String reason) {
        super(file + " " + reason);
    }
}
