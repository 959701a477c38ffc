// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.tensor.io.StoredTensor;

/**
 * What the values of a stored tensor look like.
 *
 * @param tensor the tensor
 * @param min the smallest value, NaN where there is none
 * @param max the largest value, NaN where there is none
 * @param mean of the values that are numbers, NaN where there is none
 * @param nans values that are not a number
 */
record TensorSummary(StoredTensor tensor, double min, double max, double mean, int nans) {
    /** Reads every value. */
    static TensorSummary of(StoredTensor tensor) {
        double min = Double.NaN;
        double max = Double.NaN;
        double sum = 0;
        int nans = 0;
        double[] values = tensor.toDoubles();
        for (double v : values) {
            if (Double.isNaN(v)) {
                nans++;
                continue;
            }
            min = v >= min ? min : v; // also true for the first, where min is NaN
            max = v <= max ? max : v;
            sum += v;
        }
        return new TensorSummary(tensor, min, max, sum / (values.length - nans), nans);
    }

    Json json() {
        return new Json()
                .put("name", tensor.name())
                .put("dtype", tensor.dtype().name())
                .put("shape", tensor.shape().dims())
                .put("min", min)
                .put("max", max)
                .put("mean", mean)
                .put("nan", nans);
    }
}
