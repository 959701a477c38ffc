// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import java.util.Arrays;

/**
 * MATLAB's cubic resampling of one axis: output {@code i} is {@code sum_k weight[i * taps + k] * input[index[i * taps + k]]}, k in
 * {@code 0..taps-1}. Indices are already reflected into the input.
 */
record ResizeWeights(int outputs, int taps, double[] weight, int[] index) {
    /** Width of the cubic kernel in input pixels, before antialiasing stretches it. */
    private static final int SUPPORT = 4;

    /**
     * Computes the weights for an axis of {@code length} pixels.
     *
     * @param antialias whether a reduction stretches the kernel by {@code 1 / scale}
     */
    static ResizeWeights of(int length, double scale, boolean antialias) {
        return of(length, Math.ceil(length * scale), scale, antialias);
    }

    /** Computes the antialiased weights from an axis of {@code length} pixels to one of {@code outputs}. */
    static ResizeWeights of(int length, int outputs) {
        return of(length, outputs, (double) outputs / length, true);
    }

    private static ResizeWeights of(int length, double size, double scale, boolean antialias) {
        double shrink = antialias ? Math.min(scale, 1) : 1;
        double width = SUPPORT / shrink;
        if (length < 1 || !(scale > 0) || !(size * (Math.ceil(width) + 2) <= Integer.MAX_VALUE)) {
            throw new IllegalArgumentException("cannot resize " + length + " pixels by a factor of " + scale);
        }
        int outputs = (int) size;
        int taps = (int) Math.ceil(width) + 2;
        double[] weight = new double[outputs * taps];
        int[] left = new int[outputs];
        int firstUsed = taps;
        int lastUsed = 0;
        for (int i = 0; i < outputs; i++) {
            // 1-based, as in MATLAB: the centre of output pixel i + 1 in input coordinates.
            double centre = (i + 1) / scale + 0.5 * (1 - 1 / scale);
            left[i] = (int) Math.floor(centre - width / 2);
            double sum = 0;
            for (int k = 0; k < taps; k++) {
                double w = shrink * cubic(shrink * (centre - left[i] - k));
                weight[i * taps + k] = w;
                sum += w;
            }
            for (int k = 0; k < taps; k++) {
                weight[i * taps + k] /= sum;
                if (weight[i * taps + k] != 0) {
                    firstUsed = Math.min(firstUsed, k);
                    lastUsed = Math.max(lastUsed, k);
                }
            }
        }
        // Taps at the ends that no output uses are dropped.
        int used = lastUsed - firstUsed + 1;
        double[] usedWeight = new double[outputs * used];
        int[] index = new int[outputs * used];
        for (int i = 0; i < outputs; i++) {
            System.arraycopy(weight, i * taps + firstUsed, usedWeight, i * used, used);
            for (int k = 0; k < used; k++) {
                index[i * used + k] = reflect(left[i] + firstUsed + k - 1, length);
            }
        }
        return new ResizeWeights(outputs, used, usedWeight, index);
    }

    /** Keys' cubic convolution kernel with a = -0.5. */
    private static double cubic(double x) {
        double a = Math.abs(x);
        if (a <= 1) {
            return (1.5 * a - 2.5) * a * a + 1;
        }
        return a <= 2 ? ((-0.5 * a + 2.5) * a - 4) * a + 2 : 0;
    }

    /** Repeats a signal symmetrically, the edge sample included: ..., 1, 0, 0, 1, ..., n-1, n-1, n-2, ... */
    private static int reflect(int i, int length) {
        int m = Math.floorMod(i, 2 * length);
        return m < length ? m : 2 * length - 1 - m;
    }

    /** Adds up the rows that output {@code y} needs: {@code sums[i] = sum_k weight * input[at + index * row + i]}. */
    void combineRows(int y, float[] input, int at, double[] sums) {
        Arrays.fill(sums, 0);
        for (int k = y * taps; k < (y + 1) * taps; k++) {
            double w = weight[k];
            int from = at + index[k] * sums.length;
            for (int i = 0; i < sums.length; i++) {
                sums[i] += w * input[from + i];
            }
        }
    }

    /** Returns the last row that output {@code y} and those before it need. */
    int last(int y) {
        int last = 0;
        for (int k = y * taps; k < (y + 1) * taps; k++) {
            last = Math.max(last, index[k]);
        }
        return last;
    }

    /** Adds up the rows that output {@code y} needs, as the other method does, where row {@code i} is {@code held[i % held.length]}. */
    void combineRows(int y, float[][] held, double[] sums) {
        Arrays.fill(sums, 0);
        for (int k = y * taps; k < (y + 1) * taps; k++) {
            double w = weight[k];
            float[] row = held[index[k] % held.length];
            for (int i = 0; i < sums.length; i++) {
                sums[i] += w * row[i];
            }
        }
    }

    /** Resamples a row of pixels with interleaved channels into {@code out}, which has {@code outputs * channels} values. */
    void resampleRow(double[] row, int channels, double[] out) {
        for (int x = 0, at = 0; x < outputs; x++) {
            for (int c = 0; c < channels; c++) {
                double sum = 0;
                for (int k = x * taps; k < (x + 1) * taps; k++) {
                    sum += weight[k] * row[index[k] * channels + c];
                }
                out[at++] = sum;
            }
        }
    }
}
