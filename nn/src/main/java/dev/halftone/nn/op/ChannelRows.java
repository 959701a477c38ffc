// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;

/** How work on tensors {@code [..., C]} is cut where every channel has numbers of its own: ranges of 1024 rows {@code [C]}. */
final class ChannelRows {
    private static final int GRAIN = 1024;

    private ChannelRows() {}

    /** Returns the number of rows. */
    static int count(Tensor t) {
        return t.size() == 0 ? 0 : t.size() / t.dim(-1);
    }

    static void forEach(Compute compute, Tensor t, Compute.RangeTask task) {
        compute.forEachRange(count(t), GRAIN, task);
    }

    /** Computes sums over all rows; partial sums are added in order, whatever the thread count. */
    static Tensor sums(Compute compute, Tensor t, int sums, RangeSums partial) {
        double[][] parts = new double[count(t) / GRAIN + 1][sums];
        forEach(compute, t, (from, to) -> partial.add(from, to, parts[from / GRAIN]));
        return Ranges.total(parts);
    }

    /** Returns for every channel the sum over all rows of the products of two tensors of the same shape. */
    static Tensor productSums(Compute compute, Tensor a, Tensor b) {
        int channels = a.dim(-1);
        return sums(compute, a, channels, (from, to, own) -> {
            for (int row = from; row < to; row++) {
                int atA = a.offset() + row * channels;
                int atB = b.offset() + row * channels;
                for (int c = 0; c < channels; c++) {
                    own[c] += (double) a.array()[atA + c] * b.array()[atB + c];
                }
            }
        });
    }

    /** Sums over a range. */
    @FunctionalInterface
    interface RangeSums {
        /** Adds the sums over rows {@code [from, to)} to {@code sums}. */
        void add(int from, int to, double[] sums);
    }
}
