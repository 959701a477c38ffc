// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import dev.halftone.tensor.Tensor;
import java.util.Arrays;

/** The structural similarity of one channel, in double precision, row by row: memory is a few rows whatever the image. */
final class Ssim {
    /** Edge of the window. */
    static final int WINDOW = 11;

    private static final double SIGMA = 1.5;
    private static final double C1 = (0.01 * 255) * (0.01 * 255);
    private static final double C2 = (0.03 * 255) * (0.03 * 255);

    /** The local moments that SSIM needs: means of a, b, a^2, b^2 and a b. */
    private static final int MOMENTS = 5;

    private Ssim() {}

    /** Returns the Gaussian window along one axis; it sums to 1. */
    static double[] gaussian() {
        double[] g = new double[WINDOW];
        double sum = 0;
        for (int i = 0; i < WINDOW; i++) {
            double d = i - WINDOW / 2;
            g[i] = Math.exp(-d * d / (2 * SIGMA * SIGMA));
            sum += g[i];
        }
        for (int i = 0; i < WINDOW; i++) {
            g[i] /= sum;
        }
        return g;
    }

    /** Returns the mean over all positions of the window inside the border. */
    static double mean(Tensor a, Tensor b, int border, int channel) {
        int height = a.dim(0) - 2 * border;
        int width = a.dim(1) - 2 * border;
        int rows = height - WINDOW + 1;
        int columns = width - WINDOW + 1;
        double[] g = gaussian();
        double[] rowA = new double[width];
        double[] rowB = new double[width];
        double[][] moments = new double[MOMENTS][width];
        double[] local = new double[MOMENTS];
        double sum = 0;
        for (int y = 0; y < rows; y++) {
            for (double[] m : moments) {
                Arrays.fill(m, 0);
            }
            for (int k = 0; k < WINDOW; k++) {
                copyRow(a, border + y + k, border, channel, rowA);
                copyRow(b, border + y + k, border, channel, rowB);
                accumulate(g[k], rowA, rowB, moments);
            }
            double rowSum = 0;
            for (int x = 0; x < columns; x++) {
                for (int m = 0; m < MOMENTS; m++) {
                    double v = 0;
                    for (int k = 0; k < WINDOW; k++) {
                        v += g[k] * moments[m][x + k];
                    }
                    local[m] = v;
                }
                rowSum += similarity(local[0], local[1], local[2], local[3], local[4]);
            }
            sum += rowSum;
        }
        return sum / ((double) rows * columns);
    }

    /** Equation 13 of the paper, with variances as E[x^2] - E[x]^2. */
    private static double similarity(double a, double b, double squareA, double squareB, double product) {
        return (2 * (a * b) + C1)
                * (2 * (product - a * b) + C2)
                / ((a * a + b * b + C1) * ((squareA - a * a) + (squareB - b * b) + C2));
    }

    private static void accumulate(double weight, double[] a, double[] b, double[][] moments) {
        double[] meanA = moments[0];
        double[] meanB = moments[1];
        double[] squareA = moments[2];
        double[] squareB = moments[3];
        double[] product = moments[4];
        for (int x = 0; x < a.length; x++) {
            double wa = weight * a[x];
            double wb = weight * b[x];
            meanA[x] += wa;
            meanB[x] += wb;
            squareA[x] += wa * a[x];
            squareB[x] += wb * b[x];
            product[x] += wa * b[x];
        }
    }

    private static void copyRow(Tensor image, int y, int left, int channel, double[] row) {
        int channels = image.dim(2);
        int at = image.offset() + (y * image.dim(1) + left) * channels + channel;
        for (int x = 0; x < row.length; x++, at += channels) {
            row[x] = image.array()[at];
        }
    }
}
