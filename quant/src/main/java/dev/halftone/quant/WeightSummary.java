// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.quant.matrix.Matrix;
import dev.halftone.quant.matrix.Svd;
import dev.halftone.tensor.Tensor;
import java.util.Collections;
import java.util.List;
import java.util.stream.IntStream;

/**
 * What a weight looks like.
 *
 * @param limit the histogram reaches from {@code -limit} to {@code limit}; what is beyond is in the outermost bins
 * @param counts of values in bins of the same width
 * @param condition the largest over the smallest singular value of the weight as a matrix of all inputs by outputs; infinite where that is 0
 */
public record WeightSummary(double limit, List<Integer> counts, double condition) {
    private static final int BINS = 33;

    /** Copies the list. */
    public WeightSummary {
        counts = List.copyOf(counts);
    }

    /** Describes a weight {@code [..., in, out]} up to its largest magnitude. */
    public static WeightSummary of(Tensor weight) {
        double limit = IntStream.range(0, weight.size())
                .mapToDouble(i -> Math.abs(weight.array()[weight.offset() + i]))
                .max()
                .orElse(0);
        return of(weight, limit);
    }

    /** Describes a weight {@code [..., in, out]} with the bins of another. */
    public static WeightSummary of(Tensor weight, double limit) {
        Integer[] counts = Collections.nCopies(BINS, 0).toArray(Integer[]::new);
        for (int i = 0; i < weight.size(); i++) {
            double v = weight.array()[weight.offset() + i];
            int bin = limit == 0 ? BINS / 2 : (int) Math.floor((v / limit + 1) / 2 * BINS);
            counts[Math.clamp(bin, 0, BINS - 1)]++;
        }
        return new WeightSummary(
                limit, List.of(counts), Svd.of(Matrix.of(weight)).condition());
    }
}
