// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/**
 * Where results go.
 *
 * @param saysFolder whether the user has written a slash at the end, which {@link Path} forgets
 */
record OutputPath(Path path, boolean saysFolder) {
    static final class Converter implements ITypeConverter<OutputPath> {
        @Override
        public OutputPath convert(String text) {
            try {
                Path path = Path.of(text);
                String separator = path.getFileSystem().getSeparator();
                return new OutputPath(path, text.endsWith("/") || text.endsWith(separator));
            } catch (InvalidPathException e) {
                throw new TypeConversionException("'" + text + "' is no path: " + e.getReason());
            }
        }
    }

    /** Returns whether it is a folder, or is to become one. */
    boolean isFolder() {
        return Files.isDirectory(path) || (saysFolder && !Files.exists(path));
    }
}
