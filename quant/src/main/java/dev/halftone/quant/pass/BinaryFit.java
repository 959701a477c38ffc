// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import java.util.Arrays;

/**
 * Some weights as an offset and a sum of planes of signs, {@code w = offset + sum_p scale_p (+-1)}, and the steps by which fits are found.
 * Bit {@code p} of a code is 1 where plane {@code p} is +1.
 */
final class BinaryFit {
    private final double[] w;
    private final double[] scales;
    private final int[] codes;
    private double offset;

    private BinaryFit(double[] w, int planes) {
        this.w = w;
        scales = new double[planes];
        codes = new int[w.length];
    }

    /**
     * Returns the fit of one plane after the other, each to what those before have left: its mean, its mean magnitude around that, and the
     * signs.
     */
    static BinaryFit greedy(double[] w, int planes) {
        BinaryFit fit = new BinaryFit(w, planes);
        double[] rest = w.clone();
        for (int p = 0; p < planes; p++) {
            double mean = Arrays.stream(rest).sum() / rest.length;
            double size = 0;
            for (double v : rest) {
                size += Math.abs(v - mean) / rest.length;
            }
            for (int i = 0; i < rest.length; i++) {
                boolean positive = rest[i] - mean >= 0;
                rest[i] -= mean + (positive ? size : -size);
                fit.codes[i] |= (positive ? 1 : 0) << p;
            }
            fit.offset += mean;
            fit.scales[p] = size;
        }
        return fit;
    }

    /** Returns the fit on the evenly spaced levels from the smallest to the largest weight: every uniform grid is a sum of planes. */
    static BinaryFit uniform(double[] w, int planes) {
        BinaryFit fit = new BinaryFit(w, planes);
        double low = Arrays.stream(w).min().orElse(0);
        double high = Arrays.stream(w).max().orElse(0);
        double step = (high - low) / ((1 << planes) - 1);
        fit.offset = (low + high) / 2;
        for (int p = 0; p < planes; p++) {
            fit.scales[p] = step * (1 << p) / 2;
        }
        fit.pick();
        return fit;
    }

    BinaryFit copy() {
        BinaryFit copy = new BinaryFit(w, scales.length);
        copy.offset = offset;
        System.arraycopy(scales, 0, copy.scales, 0, scales.length);
        System.arraycopy(codes, 0, copy.codes, 0, codes.length);
        return copy;
    }

    double offset() {
        return offset;
    }

    double scale(int plane) {
        return scales[plane];
    }

    int code(int index) {
        return codes[index];
    }

    int size() {
        return w.length;
    }

    int planes() {
        return scales.length;
    }

    double sign(int plane, int index) {
        return (codes[index] >> plane & 1) == 1 ? 1 : -1;
    }

    double value(int index) {
        double value = offset;
        for (int p = 0; p < scales.length; p++) {
            value += sign(p, index) * scales[p];
        }
        return value;
    }

    /** Returns the sum of squared errors. */
    double error() {
        double error = 0;
        for (int i = 0; i < w.length; i++) {
            double d = w[i] - value(i);
            error += d * d;
        }
        return error;
    }

    /** Changes offset and scales. */
    void set(double newOffset, double[] newScales) {
        offset = newOffset;
        System.arraycopy(newScales, 0, scales, 0, scales.length);
    }

    /** Moves the offset by the mean error. */
    void centre() {
        double sum = 0;
        for (int i = 0; i < w.length; i++) {
            sum += w[i] - value(i);
        }
        offset += sum / w.length;
    }

    /** Gives one plane after the other the scale of least error. */
    void scale() {
        for (int p = 0; p < scales.length; p++) {
            double sum = 0;
            for (int i = 0; i < w.length; i++) {
                sum += sign(p, i) * (w[i] - value(i));
            }
            scales[p] += sum / w.length;
        }
    }

    /** Gives every weight the nearest of all levels. */
    void pick() {
        double[] levels = levels();
        for (int i = 0; i < w.length; i++) {
            double least = Math.abs(levels[codes[i]] - w[i]);
            for (int code = 0; code < levels.length; code++) {
                double error = Math.abs(levels[code] - w[i]);
                if (error < least) {
                    least = error;
                    codes[i] = code;
                }
            }
        }
    }

    /** Returns what each code stands for. */
    double[] levels() {
        double[] levels = new double[1 << scales.length];
        for (int code = 0; code < levels.length; code++) {
            levels[code] = offset;
            for (int p = 0; p < scales.length; p++) {
                levels[code] += (code >> p & 1) == 1 ? scales[p] : -scales[p];
            }
        }
        return levels;
    }

    /** Changes a code. */
    void set(int index, int code) {
        codes[index] = code;
    }

    /** Gives offset and all scales together the values of least error, which are those of a linear regression on the signs. */
    void regress() {
        int n = scales.length + 1;
        double[][] a = new double[n][n + 1];
        for (int i = 0; i < w.length; i++) {
            for (int p = 0; p < n; p++) {
                double x = p == n - 1 ? 1 : sign(p, i);
                for (int q = 0; q < n; q++) {
                    a[p][q] += x * (q == n - 1 ? 1 : sign(q, i));
                }
                a[p][n] += x * w[i];
            }
        }
        for (int p = 0; p < n; p++) {
            a[p][p] += 1e-6; // two planes may be the same
        }
        double[] x = solve(a);
        set(x[n - 1], Arrays.copyOf(x, n - 1));
    }

    /** Solves a positive definite system, given with its right side as last column, by elimination. */
    private static double[] solve(double[][] a) {
        int n = a.length;
        for (int i = 0; i < n; i++) {
            for (int j = i + 1; j < n; j++) {
                double f = a[j][i] / a[i][i];
                for (int k = i; k <= n; k++) {
                    a[j][k] -= f * a[i][k];
                }
            }
        }
        double[] x = new double[n];
        for (int i = n - 1; i >= 0; i--) {
            double sum = a[i][n];
            for (int k = i + 1; k < n; k++) {
                sum -= a[i][k] * x[k];
            }
            x[i] = sum / a[i][i];
        }
        return x;
    }
}
