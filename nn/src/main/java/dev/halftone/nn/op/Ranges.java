// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;

/** How elementwise work is cut: ranges of 64 Ki elements (256 KiB, so that an operand's range stays in L2). */
final class Ranges {
    static final int GRAIN = 1 << 16;

    private Ranges() {}

    static void forEach(Compute compute, int elements, Compute.RangeTask task) {
        compute.forEachRange(elements, GRAIN, task);
    }

    /** Computes a reduction over ranges whose partial results are added in order, whatever the thread count. */
    static double sum(Compute compute, int elements, RangeSum sum) {
        double[] partial = new double[elements / GRAIN + 1];
        forEach(compute, elements, (from, to) -> partial[from / GRAIN] = sum.of(from, to));
        double total = 0;
        for (double p : partial) {
            total += p;
        }
        return total;
    }

    /** Returns the sum of the rows {@code [columns]} in order, each of which is the partial result of one range. */
    static Tensor total(double[][] rows) {
        Tensor total = Tensor.zeros(rows[0].length);
        for (int c = 0; c < total.size(); c++) {
            double sum = 0;
            for (double[] row : rows) {
                sum += row[c];
            }
            total.set((float) sum, c);
        }
        return total;
    }

    /** A sum over a range. */
    @FunctionalInterface
    interface RangeSum {
        double of(int from, int to);
    }
}
