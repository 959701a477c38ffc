// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import java.util.Arrays;

/**
 * MATLAB's {@code imresize(image, scale, 'bicubic')}: cubic convolution with a = -0.5, stretched by {@code 1 / scale} when it
 * reduces (antialiasing), edges repeated symmetrically, rows first, then columns, output size {@code ceil(input * scale)}.
 */
public final class Bicubic {
    private static final double SUPPORT = 4;

    /**
     * One axis: output {@code i} is {@code sum_k weight[i][k] * input[index[i][k]]}.
     *
     * @param index already reflected into the input
     */
    private record Axis(double[][] weight, int[][] index) {}

    private Bicubic() {}

    /** Resizes {@code [H, W, C]} without rounding or clipping. */
    public static Tensor resize(Compute compute, Tensor image, double scale) {
        Tensor rows = resizeRows(compute, image, axis(image.dim(0), scale), false);
        return resizeColumns(compute, rows, axis(image.dim(1), scale), false);
    }

    /** Resizes an 8-bit image as MATLAB does: values are rounded (half away from zero) and clipped to 0..255 after each pass. */
    public static Tensor resizeUint8(Compute compute, Tensor image, double scale) {
        Tensor rows = resizeRows(compute, image, axis(image.dim(0), scale), true);
        return resizeColumns(compute, rows, axis(image.dim(1), scale), true);
    }

    private static double cubic(double x) {
        double a = Math.abs(x);
        if (a <= 1) {
            return (1.5 * a - 2.5) * a * a + 1;
        }
        return a <= 2 ? ((-0.5 * a + 2.5) * a - 4) * a + 2 : 0;
    }

    private static Axis axis(int length, double scale) {
        if (!(scale > 0)) {
            throw new IllegalArgumentException("scale must be positive, not " + scale);
        }
        int outLength = (int) Math.ceil(length * scale - 1e-9);
        double stretch = Math.min(scale, 1);
        double width = SUPPORT / stretch;
        int taps = (int) Math.ceil(width) + 2;
        double[][] weights = new double[outLength][];
        int[][] indices = new int[outLength][];
        for (int i = 0; i < outLength; i++) {
            // 1-based coordinates, as in MATLAB: output pixel centres mapped onto the input.
            double centre = (i + 1) / scale + 0.5 * (1 - 1 / scale);
            int left = (int) Math.floor(centre - width / 2);
            double[] w = new double[taps];
            double sum = 0;
            for (int k = 0; k < taps; k++) {
                w[k] = stretch * cubic(stretch * (centre - (left + k)));
                sum += w[k];
            }
            int first = 0;
            int last = taps - 1;
            while (w[first] == 0) {
                first++;
            }
            while (w[last] == 0) {
                last--;
            }
            weights[i] = new double[last - first + 1];
            indices[i] = new int[last - first + 1];
            for (int k = first; k <= last; k++) {
                weights[i][k - first] = w[k] / sum;
                indices[i][k - first] = reflect(left + k - 1, length);
            }
        }
        return new Axis(weights, indices);
    }

    /** Repeats a signal symmetrically, the edge sample included: ..., 1, 0, 0, 1, ..., n-1, n-1, n-2, ... */
    private static int reflect(int i, int length) {
        int m = Math.floorMod(i, 2 * length);
        return m < length ? m : 2 * length - 1 - m;
    }

    private static float finish(double v, boolean uint8) {
        return uint8 ? (float) Math.floor(Math.clamp(v, 0, 255) + 0.5) : (float) v;
    }

    private static Tensor resizeRows(Compute compute, Tensor image, Axis axis, boolean uint8) {
        int row = image.dim(1) * image.dim(2);
        Tensor out = Tensor.zeros(axis.weight().length, image.dim(1), image.dim(2));
        float[] from = image.array();
        compute.forEachRange(out.dim(0), (first, end) -> {
            double[] sums = new double[row];
            for (int y = first; y < end; y++) {
                Arrays.fill(sums, 0);
                for (int k = 0; k < axis.weight()[y].length; k++) {
                    double w = axis.weight()[y][k];
                    int at = image.offset() + axis.index()[y][k] * row;
                    for (int i = 0; i < row; i++) {
                        sums[i] += w * from[at + i];
                    }
                }
                for (int i = 0; i < row; i++) {
                    out.array()[y * row + i] = finish(sums[i], uint8);
                }
            }
        });
        return out;
    }

    private static Tensor resizeColumns(Compute compute, Tensor image, Axis axis, boolean uint8) {
        int channels = image.dim(2);
        int width = axis.weight().length;
        Tensor out = Tensor.zeros(image.dim(0), width, channels);
        float[] from = image.array();
        compute.forEachRange(out.dim(0), (first, end) -> {
            for (int y = first; y < end; y++) {
                int row = image.offset() + y * image.dim(1) * channels;
                int at = y * width * channels;
                for (int x = 0; x < width; x++) {
                    double[] w = axis.weight()[x];
                    int[] index = axis.index()[x];
                    for (int c = 0; c < channels; c++) {
                        double sum = 0;
                        for (int k = 0; k < w.length; k++) {
                            sum += w[k] * from[row + index[k] * channels + c];
                        }
                        out.array()[at++] = finish(sum, uint8);
                    }
                }
            }
        });
        return out;
    }
}
