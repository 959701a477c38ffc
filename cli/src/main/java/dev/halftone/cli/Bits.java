// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/**
 * Bits of a code.
 *
 * @param weight 1..8
 * @param activation 1..8, or 32: not quantized
 */
record Bits(int weight, int activation) {
    private static final Pattern SAME = Pattern.compile("([1-8])bit");
    private static final Pattern EACH = Pattern.compile("w([1-8])a([1-8]|32)");

    /** Reads {@code 2bit} or {@code w2a4}. */
    static final class Converter implements ITypeConverter<Bits> {
        @Override
        public Bits convert(String text) {
            Matcher same = SAME.matcher(text);
            if (same.matches()) {
                int bits = Integer.parseInt(same.group(1));
                return new Bits(bits, bits);
            }
            Matcher each = EACH.matcher(text);
            if (each.matches()) {
                return new Bits(Integer.parseInt(each.group(1)), Integer.parseInt(each.group(2)));
            }
            throw new TypeConversionException("'" + text + "' is not 1bit to 8bit or a pair like w2a4 or w2a32");
        }
    }

    /** Returns for example {@code w2a4}. */
    @Override
    public String toString() {
        return "w" + weight + "a" + activation;
    }
}
