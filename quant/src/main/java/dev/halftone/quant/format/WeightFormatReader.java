// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.format;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.io.InvalidFileException;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Reads weights by the tags of their formats: {@code codebook3/8} has 3 bits and 8 groups, {@code binary2/1} two planes and one group,
 * {@code binary1x2/1} one plane of two sets, {@code parts/64(TAG+TAG)} parts of 64 groups, {@code lowrank/28(TAG*TAG)} two factors of
 * 28 columns, {@code outliers(TAG)} outliers, and {@code nested4} any width, opened at 4 bits.
 */
public final class WeightFormatReader {
    private static final Pattern CODEBOOK = Pattern.compile("codebook([1-8])/([1-9][0-9]{0,5})");
    private static final Pattern BINARY = Pattern.compile("binary([1-8])(x2)?/([1-9][0-9]{0,5})");
    private static final Pattern NESTED = Pattern.compile("nested([1-8])");
    private static final Pattern PARTS = Pattern.compile("parts/([1-9][0-9]{0,5})\\(([a-z0-9/+]{1,200})\\)");
    private static final Pattern OUTLIERS = Pattern.compile("outliers\\((.{1,300})\\)");

    private static final Pattern LOW_RANK =
            Pattern.compile("lowrank/([1-9][0-9]{0,5})\\(([a-z0-9/]{1,50})\\*([a-z0-9/]{1,50})\\)");

    private WeightFormatReader() {}

    /**
     * Reads a weight.
     *
     * @throws IllegalArgumentException saying what is wrong
     */
    public static WeightFormat read(String tag, StoredParts stored, Shape shape) {
        Matcher nested = NESTED.matcher(tag);
        if (nested.matches()) {
            return NestedWeight.read(stored, shape, Integer.parseInt(nested.group(1)));
        }
        Matcher outliers = OUTLIERS.matcher(tag);
        return outliers.matches()
                ? Outliers.read(stored, withoutOutliers(outliers.group(1), stored, shape))
                : withoutOutliers(tag, stored, shape);
    }

    private static WeightFormat withoutOutliers(String tag, StoredParts stored, Shape shape) {
        Matcher product = LOW_RANK.matcher(tag);
        if (product.matches()) {
            return LowRank.read(stored, shape, Integer.parseInt(product.group(1)), product.group(2), product.group(3));
        }
        Matcher parts = PARTS.matcher(tag);
        return parts.matches()
                ? Composite.read(
                        stored,
                        shape,
                        Integer.parseInt(parts.group(1)),
                        List.of(parts.group(2).split("\\+", -1)))
                : simple(tag, stored, shape);
    }

    /** Reads a weight that is of one part. */
    static WeightFormat simple(String tag, StoredParts stored, Shape shape) {
        Matcher codebook = CODEBOOK.matcher(tag);
        if (codebook.matches()) {
            return Codebook.read(
                    stored, shape, Integer.parseInt(codebook.group(1)), Integer.parseInt(codebook.group(2)));
        }
        Matcher binary = BINARY.matcher(tag);
        if (binary.matches()) {
            return BinaryCoding.read(
                    stored,
                    shape,
                    Integer.parseInt(binary.group(1)),
                    binary.group(2) == null ? 1 : 2,
                    Integer.parseInt(binary.group(3)));
        }
        throw new IllegalArgumentException("no format of weights is called " + InvalidFileException.quote(tag));
    }
}
