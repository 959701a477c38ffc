// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.quant.format.NestedWeight;
import dev.halftone.tensor.io.InvalidFileException;
import dev.halftone.tensor.io.WeightFile;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalInt;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** The width that a quantized-model file with weights of any width ({@link NestedWeight}) is opened at. */
public final class WeightWidths {
    private static final Pattern NESTED = Pattern.compile("(.*):([1-8]):([^:]*):nested\\2");

    private WeightWidths() {}

    /** Returns the width that such a file is opened at unless another is chosen; empty for files whose weights have one width each. */
    public static OptionalInt of(WeightFile file) {
        return entries(file)
                .map(NESTED::matcher)
                .filter(Matcher::matches)
                .mapToInt(entry -> Integer.parseInt(entry.group(2)))
                .findFirst();
    }

    /**
     * Returns a file as one that is opened at another width.
     *
     * @param bits 1 to 8
     * @throws InvalidFileException if its weights have one width each
     */
    public static WeightFile choose(WeightFile file, int bits) throws InvalidFileException {
        if (bits < 1 || bits > NestedWeight.WIDTHS) {
            throw new IllegalArgumentException("weights have 1 to " + NestedWeight.WIDTHS + " bits, not " + bits);
        }
        if (of(file).isEmpty()) {
            throw new InvalidFileException(
                    file.path(),
                    "has weights of one width each, so none can be chosen; `quantize --recipe one-model-style` makes files of any width");
        }
        Map<String, String> metadata = new LinkedHashMap<>(file.metadata());
        metadata.put(
                QuantizedModelFile.LAYERS_KEY,
                entries(file)
                        .map(entry -> NESTED.matcher(entry).replaceFirst("$1:" + bits + ":$3:nested" + bits))
                        .collect(Collectors.joining(",")));
        return new WeightFile(file.path(), file.format(), file.sha256(), metadata, file.sections(), file.tensors());
    }

    private static Stream<String> entries(WeightFile file) {
        return Arrays.stream(
                file.metadata().getOrDefault(QuantizedModelFile.LAYERS_KEY, "").split(",", -1));
    }
}
