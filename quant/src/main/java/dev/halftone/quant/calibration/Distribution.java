// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.calibration;

import dev.halftone.tensor.Levels;

/** What a {@link Calibrator} knows about the values of a tensor, or of one of its channels. All values are finite. */
public sealed interface Distribution permits Samples, Histogram {
    /** Returns what the values belong to; errors name it. */
    String name();

    /** Returns the number of values. */
    long count();

    /**
     * Returns the smallest value.
     *
     * @throws IllegalStateException naming the tensor, if there are no values
     */
    float min();

    /**
     * Returns the largest value.
     *
     * @throws IllegalStateException naming the tensor, if there are no values
     */
    float max();

    /**
     * Returns the quantile {@code p}, 0 to 1, interpolated linearly between the order statistics {@code floor(p (n - 1))} and the
     * next.
     *
     * @throws IllegalStateException naming the tensor, if there are no values
     */
    float quantile(double p);

    /** Returns the sum over all values of {@code (v - level(code(v)))^2}. */
    double squaredError(Levels levels);

    /** Returns the values sorted into bins. */
    Histogram histogram();
}
