// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import java.time.Duration;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/**
 * The value of an option like {@code --budget}.
 *
 * @param duration at least a second
 */
record TimeSpan(Duration duration) {
    /** Reads {@code 90s}, {@code 10m} or {@code 1h}. */
    static final class Converter implements ITypeConverter<TimeSpan> {
        private static final Pattern SPAN = Pattern.compile("(\\d{1,6})([smh])");

        @Override
        public TimeSpan convert(String text) {
            Matcher span = SPAN.matcher(text.toLowerCase(Locale.ROOT));
            if (!span.matches() || Integer.parseInt(span.group(1)) == 0) {
                throw new TypeConversionException("'" + text + "' is not a time like 90s, 10m or 1h");
            }
            long count = Long.parseLong(span.group(1));
            return new TimeSpan(
                    switch (span.group(2)) {
                        case "s" -> Duration.ofSeconds(count);
                        case "m" -> Duration.ofMinutes(count);
                        default -> Duration.ofHours(count);
                    });
        }
    }
}
