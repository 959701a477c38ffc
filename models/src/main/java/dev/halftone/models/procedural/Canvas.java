// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.procedural;

import dev.halftone.tensor.Tensor;

/**
 * A picture painted back to front with 3 x 3 samples per pixel, which are averaged in the end: sharp, but anti-aliased like a
 * photograph. Coordinates are in pixels, x to the right, y down; colours are RGB, 0..1.
 */
final class Canvas {
    private static final int SAMPLES = 3;

    /** A region of the plane. */
    @FunctionalInterface
    interface Region {
        boolean contains(double x, double y);
    }

    /** A colour for every point. */
    @FunctionalInterface
    interface Paint {
        void at(double x, double y, double[] rgb);
    }

    private final int height;
    private final int width;
    private final float[] samples;

    Canvas(int height, int width) {
        this.height = height;
        this.width = width;
        this.samples = new float[3 * SAMPLES * height * SAMPLES * width];
    }

    int height() {
        return height;
    }

    int width() {
        return width;
    }

    /** Paints everything. */
    void fill(Paint paint) {
        fill(0, 0, width, height, (x, y) -> true, paint);
    }

    /** Paints a region, which lies inside the box from (left, top) to (right, bottom). */
    void fill(double left, double top, double right, double bottom, Region region, Paint paint) {
        int x0 = Math.clamp((long) Math.floor(left * SAMPLES), 0, width * SAMPLES);
        int x1 = Math.clamp((long) Math.ceil(right * SAMPLES), 0, width * SAMPLES);
        int y0 = Math.clamp((long) Math.floor(top * SAMPLES), 0, height * SAMPLES);
        int y1 = Math.clamp((long) Math.ceil(bottom * SAMPLES), 0, height * SAMPLES);
        double[] rgb = new double[3];
        for (int j = y0; j < y1; j++) {
            double y = (j + 0.5) / SAMPLES;
            for (int i = x0; i < x1; i++) {
                double x = (i + 0.5) / SAMPLES;
                if (region.contains(x, y)) {
                    paint.at(x, y, rgb);
                    int at = 3 * (j * width * SAMPLES + i);
                    samples[at] = (float) rgb[0];
                    samples[at + 1] = (float) rgb[1];
                    samples[at + 2] = (float) rgb[2];
                }
            }
        }
    }

    /** Paints a straight stroke with round ends. */
    void stroke(double x0, double y0, double x1, double y1, double thickness, Paint paint) {
        double r = thickness / 2;
        double dx = x1 - x0;
        double dy = y1 - y0;
        double length = Math.max(dx * dx + dy * dy, 1e-12);
        fill(
                Math.min(x0, x1) - r,
                Math.min(y0, y1) - r,
                Math.max(x0, x1) + r,
                Math.max(y0, y1) + r,
                (x, y) -> {
                    double t = Math.clamp(((x - x0) * dx + (y - y0) * dy) / length, 0, 1);
                    double ex = x - x0 - t * dx;
                    double ey = y - y0 - t * dy;
                    return ex * ex + ey * ey <= r * r;
                },
                paint);
    }

    /** Returns the picture {@code [H, W, 3]}, whole numbers 0..255. */
    Tensor develop() {
        Tensor image = Tensor.zeros(height, width, 3);
        int row = 3 * width * SAMPLES;
        for (int y = 0, at = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                for (int c = 0; c < 3; c++, at++) {
                    double sum = 0;
                    for (int j = 0; j < SAMPLES; j++) {
                        for (int i = 0; i < SAMPLES; i++) {
                            sum += samples[(y * SAMPLES + j) * row + 3 * (x * SAMPLES + i) + c];
                        }
                    }
                    image.array()[at] = (float) Math.rint(255 * Math.clamp(sum / (SAMPLES * SAMPLES), 0, 1));
                }
            }
        }
        return image;
    }
}
