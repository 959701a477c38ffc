// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.tensor.io.AtomicFile;
import dev.halftone.tensor.io.InvalidFileException;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;

/** Where one result goes: a file, or standard output, which is called {@code -}. */
record Destination(Console console, Path path) {
    static boolean isStandard(Path path) {
        return path.toString().equals("-");
    }

    boolean isStandard() {
        return isStandard(path);
    }

    /** Checks that the result can be written, and would not replace the input. */
    void check(Path input) throws IOException {
        if (isStandard()) {
            if (console.json()) {
                throw new UsageException("--json and -o - would both write to standard output");
            }
            return;
        }
        OutputFile.checked(path);
        if (Files.exists(path) && Files.exists(input) && Files.isSameFile(input, path)) {
            throw new UsageException(path + " is the input; name another file to write");
        }
    }

    /** Writes the result; a file gets its name when it is complete. */
    void write(AtomicFile.Content content) throws IOException {
        if (!isStandard()) {
            AtomicFile.write(path, content);
            return;
        }
        OutputStream out = new BufferedOutputStream(console.bytes(), 1 << 16);
        try {
            content.writeTo(out);
            out.flush();
        } catch (InvalidFileException e) {
            throw e; // of the input
        } catch (IOException e) {
            throw new IOException("standard output cannot be written: " + InvalidFileException.reason(e), e);
        }
    }

    /** Prints a line of the result, or of the log where standard output has the result itself. */
    @SuppressWarnings("AnnotateFormatMethod") // as in Console
    void say(String line, Object... arguments) {
        if (isStandard()) {
            console.note("halftone: " + line, arguments);
        } else {
            console.print(line, arguments);
        }
    }
}
