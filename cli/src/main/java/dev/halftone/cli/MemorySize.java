// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/**
 * The value of {@code --memory}. The launcher reads it too, before this JVM starts, and sets the heap to three quarters of it.
 *
 * @param megabytes at least 1
 */
record MemorySize(long megabytes) {
    static final class Converter implements ITypeConverter<MemorySize> {
        private static final Pattern SIZE = Pattern.compile("(\\d{1,6})([mg])b?");

        @Override
        public MemorySize convert(String text) {
            Matcher size = SIZE.matcher(text.toLowerCase(Locale.ROOT));
            if (!size.matches()) {
                throw new TypeConversionException("'" + text + "' is not a size like 512m or 2g");
            }
            return new MemorySize(Long.parseLong(size.group(1)) * (size.group(2).equals("g") ? 1024 : 1));
        }
    }

    /** Refuses to go on in a JVM that would not keep within the size. */
    void requireEnforced() {
        if (Runtime.getRuntime().maxMemory() > megabytes << 20) {
            throw new UsageException(
                    "--memory works through the launcher only (mvn exec:java); start this java with -Xmx"
                            + Math.max(1, megabytes * 3 / 4) + "m instead");
        }
    }
}
