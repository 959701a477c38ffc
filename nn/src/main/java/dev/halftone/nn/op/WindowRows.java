// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.AttentionGeometry;

/** The pixels of one window after the other, as rows. */
final class WindowRows {
    private final AttentionGeometry geometry;
    private final int[] pixels;

    WindowRows(AttentionGeometry geometry) {
        this.geometry = geometry;
        pixels = new int[geometry.pixels()];
    }

    /** Turns to a window. */
    void at(int window) {
        geometry.pixels(window, pixels);
    }

    /** Copies the window's pixels of a map {@code [N, H, W, C]} to {@code rows [pixels, C]}. */
    void gather(Tensor map, Tensor rows) {
        int channels = rows.dim(1);
        for (int i = 0; i < pixels.length; i++) {
            int from = map.offset() + pixels[i] * channels;
            System.arraycopy(map.array(), from, rows.array(), rows.offset() + i * channels, channels);
        }
    }

    /** Copies rows to the window's pixels. */
    void scatter(Tensor rows, Tensor map) {
        int channels = rows.dim(1);
        for (int i = 0; i < pixels.length; i++) {
            int to = map.offset() + pixels[i] * channels;
            System.arraycopy(rows.array(), rows.offset() + i * channels, map.array(), to, channels);
        }
    }

    /** Copies {@code rows [n, C]} to the columns of {@code wide [n, ..]} from {@code column} on. */
    static void toColumns(Tensor rows, Tensor wide, int column) {
        int channels = rows.dim(1);
        int step = wide.dim(1);
        for (int i = 0; i < rows.dim(0); i++) {
            System.arraycopy(
                    rows.array(),
                    rows.offset() + i * channels,
                    wide.array(),
                    wide.offset() + i * step + column,
                    channels);
        }
    }

    /** The inverse of {@link #toColumns}. */
    static void fromColumns(Tensor wide, int column, Tensor rows) {
        int channels = rows.dim(1);
        int step = wide.dim(1);
        for (int i = 0; i < rows.dim(0); i++) {
            System.arraycopy(
                    wide.array(),
                    wide.offset() + i * step + column,
                    rows.array(),
                    rows.offset() + i * channels,
                    channels);
        }
    }
}
