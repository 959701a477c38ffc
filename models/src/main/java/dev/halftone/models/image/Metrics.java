// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import dev.halftone.tensor.Tensor;

/**
 * PSNR and SSIM as super-resolution papers report them: on 8-bit images, with a border left out. Luma is BT.601 studio swing,
 * {@code 16 + (65.481 R + 128.553 G + 24.966 B) / 255}, not rounded.
 */
public final class Metrics {
    private static final int WINDOW = 11;
    private static final double SIGMA = 1.5;
    private static final double C1 = (0.01 * 255) * (0.01 * 255);
    private static final double C2 = (0.03 * 255) * (0.03 * 255);

    /** One channel in double precision. */
    private record Plane(int height, int width, double[] values) {}

    private Metrics() {}

    /** Returns the luma {@code [H, W]}, 16..235, of {@code [H, W, 3]}. */
    public static Tensor luma(Tensor rgb) {
        Tensor y = Tensor.zeros(rgb.dim(0), rgb.dim(1));
        for (int i = 0; i < y.size(); i++) {
            int at = rgb.offset() + 3 * i;
            y.array()[i] = (float) ((65.481 * rgb.array()[at] + 128.553 * rgb.array()[at + 1] + 24.966 * rgb.array()[at + 2])
                            / 255
                    + 16);
        }
        return y;
    }

    /** Returns the PSNR of the luma in dB, infinite for equal images; {@code border} pixels are left out on every side. */
    public static double psnrY(Tensor a, Tensor b, int border) {
        return psnr(luma(a).reshape(a.dim(0), a.dim(1), 1), luma(b).reshape(b.dim(0), b.dim(1), 1), border);
    }

    /** Returns the PSNR over all channels of {@code [H, W, C]}, 0..255. */
    public static double psnr(Tensor a, Tensor b, int border) {
        requireSame(a, b, border);
        double sum = 0;
        long count = 0;
        for (int c = 0; c < a.dim(2); c++) {
            double[] p = plane(a, c, border).values();
            double[] q = plane(b, c, border).values();
            for (int i = 0; i < p.length; i++) {
                sum += (p[i] - q[i]) * (p[i] - q[i]);
            }
            count += p.length;
        }
        return sum == 0 ? Double.POSITIVE_INFINITY : 10 * Math.log10(255.0 * 255.0 * count / sum);
    }

    /** Returns the SSIM of the luma; 1 for equal images. */
    public static double ssimY(Tensor a, Tensor b, int border) {
        return ssim(luma(a).reshape(a.dim(0), a.dim(1), 1), luma(b).reshape(b.dim(0), b.dim(1), 1), border);
    }

    /**
     * Returns the SSIM (Wang et al. 2004) with an 11x11 Gaussian window of sigma 1.5 over the positions where it fits, averaged over
     * the channels of {@code [H, W, C]}.
     *
     * @throws IllegalArgumentException if less than 11x11 pixels are left inside the border
     */
    public static double ssim(Tensor a, Tensor b, int border) {
        requireSame(a, b, border);
        double sum = 0;
        for (int c = 0; c < a.dim(2); c++) {
            sum += ssim(plane(a, c, border), plane(b, c, border));
        }
        return sum / a.dim(2);
    }

    private static double ssim(Plane a, Plane b) {
        if (a.height() < WINDOW || a.width() < WINDOW) {
            throw new IllegalArgumentException(
                    "SSIM needs 11x11 pixels inside the border, there are " + a.height() + "x" + a.width());
        }
        double[] meanA = blur(a, a.values());
        double[] meanB = blur(a, b.values());
        double[] squareA = blur(a, product(a.values(), a.values()));
        double[] squareB = blur(a, product(b.values(), b.values()));
        double[] cross = blur(a, product(a.values(), b.values()));
        double sum = 0;
        for (int i = 0; i < meanA.length; i++) {
            double aa = meanA[i] * meanA[i];
            double bb = meanB[i] * meanB[i];
            double ab = meanA[i] * meanB[i];
            sum += (2 * ab + C1)
                    * (2 * (cross[i] - ab) + C2)
                    / ((aa + bb + C1) * (squareA[i] - aa + squareB[i] - bb + C2));
        }
        return sum / meanA.length;
    }

    private static double[] product(double[] a, double[] b) {
        double[] p = new double[a.length];
        for (int i = 0; i < p.length; i++) {
            p[i] = a[i] * b[i];
        }
        return p;
    }

    /** Filters with the separable Gaussian; keeps only positions where the whole window lies inside. */
    private static double[] blur(Plane size, double[] values) {
        double[] kernel = new double[WINDOW];
        double total = 0;
        for (int i = 0; i < WINDOW; i++) {
            double d = i - WINDOW / 2;
            kernel[i] = Math.exp(-d * d / (2 * SIGMA * SIGMA));
            total += kernel[i];
        }
        int width = size.width() - WINDOW + 1;
        int height = size.height() - WINDOW + 1;
        double[] rows = new double[size.height() * width];
        for (int y = 0; y < size.height(); y++) {
            for (int x = 0; x < width; x++) {
                double sum = 0;
                for (int k = 0; k < WINDOW; k++) {
                    sum += kernel[k] * values[y * size.width() + x + k];
                }
                rows[y * width + x] = sum / total;
            }
        }
        double[] out = new double[height * width];
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                double sum = 0;
                for (int k = 0; k < WINDOW; k++) {
                    sum += kernel[k] * rows[(y + k) * width + x];
                }
                out[y * width + x] = sum / total;
            }
        }
        return out;
    }

    private static Plane plane(Tensor image, int channel, int border) {
        int height = image.dim(0) - 2 * border;
        int width = image.dim(1) - 2 * border;
        double[] values = new double[height * width];
        for (int y = 0, i = 0; y < height; y++) {
            for (int x = 0; x < width; x++, i++) {
                values[i] = image.array()[image.offset()
                        + ((y + border) * image.dim(1) + x + border) * image.dim(2)
                        + channel];
            }
        }
        return new Plane(height, width, values);
    }

    private static void requireSame(Tensor a, Tensor b, int border) {
        if (!a.shape().equals(b.shape())) {
            throw new IllegalArgumentException("images of different shapes " + a.shape() + " and " + b.shape());
        }
        if (a.dim(0) <= 2 * border || a.dim(1) <= 2 * border) {
            throw new IllegalArgumentException("nothing is left of " + a.shape() + " inside a border of " + border);
        }
    }
}
