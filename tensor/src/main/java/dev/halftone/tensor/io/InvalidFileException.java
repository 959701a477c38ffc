// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.io;

import java.io.IOException;
import java.io.Serial;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Path;

/** A file that is not what it should be: the message is one sentence that names the file and the reason. */
public final class InvalidFileException extends IOException {
    @Serial
    private static final long serialVersionUID = 1L;

    private static final int QUOTED = 100;
    private static final int LONGEST = 1500;

    /** Creates the exception; {@code reason} reads on after the file's name, for example "is not a safetensors file: ...". */
    public InvalidFileException(Path file, String reason) {
        super(file + " " + sentence(reason));
    }

    /** Creates the exception with what went wrong underneath. */
    public InvalidFileException(Path file, String reason, Throwable cause) {
        super(file + " " + sentence(reason), cause);
    }

    /** Returns what an input or output error says went wrong, without the file's name: for example "No space left on device". */
    public static String reason(IOException e) {
        if (e instanceof AccessDeniedException) {
            return "permission denied";
        }
        if (e instanceof FileSystemException f && f.getReason() != null) {
            return f.getReason();
        }
        return e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
    }

    /**
     * Returns a name that came out of a file in quotes, fit for a message: one line, no control characters, at most 100
     * characters of it.
     */
    public static String quote(String name) {
        return "\"" + printable(name, QUOTED) + "\"";
    }

    /** Returns a reason in one line that ends, whatever from the file may have got into it. */
    private static String sentence(String reason) {
        return printable(reason, LONGEST);
    }

    private static String printable(String text, int most) {
        StringBuilder printable = new StringBuilder();
        for (int i = 0; i < text.length(); i++) {
            if (i == most) {
                return printable.append("...").toString();
            }
            char c = text.charAt(i);
            if (Character.isISOControl(c) || Character.isSurrogate(c) || Character.getType(c) == Character.FORMAT) {
                printable.append(String.format("\\u%04x", (int) c));
            } else {
                printable.append(c);
            }
        }
        return printable.toString();
    }
}
