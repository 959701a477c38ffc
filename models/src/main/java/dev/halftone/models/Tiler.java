// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.util.function.UnaryOperator;

/**
 * Runs a network over an image in tiles that overlap by a halo, and keeps only the core of each result. With a halo of the
 * network's receptive radius the result equals the untiled one bit for bit, because every kept pixel sees the same inputs in the
 * same order.
 *
 * @param tile edge of a tile's core in low-resolution pixels
 * @param halo context around the core, see {@link SuperResolutionNetwork#receptiveRadius()}
 * @param scale upscaling factor
 */
public record Tiler(int tile, int halo, int scale) {
    /** Checks the ranges. */
    public Tiler {
        if (tile < 1 || halo < 0 || scale < 1) {
            throw new IllegalArgumentException("tile " + tile + ", halo " + halo + ", scale " + scale);
        }
    }

    /** Told after every tile. */
    @FunctionalInterface
    public interface Progress {
        /** Ignores progress. */
        Progress NONE = (done, total) -> {};

        /** {@code done} of {@code total} tiles are finished. */
        void tiles(int done, int total);
    }

    /** Returns the shape of the windows that {@link #run} cuts out of an image of this size: the same for all tiles. */
    public Shape window(int height, int width, int channels) {
        return Shape.of(1, Math.min(height, tile + 2 * halo), Math.min(width, tile + 2 * halo), channels);
    }

    /** Returns the number of tiles of an image. */
    int tiles(int height, int width) {
        return Math.multiplyExact(Math.ceilDiv(height, tile), Math.ceilDiv(width, tile));
    }

    /**
     * Upscales {@code image [H, W, C]} to {@code [H scale, W scale, C]}.
     *
     * @param network maps a window {@code [1, h, w, C]} to {@code [1, h scale, w scale, C]}; its result may be a reused buffer
     */
    public Tensor run(Tensor image, UnaryOperator<Tensor> network, Progress progress) {
        int height = image.dim(0);
        int width = image.dim(1);
        int channels = image.dim(2);
        int total = tiles(height, width);
        if (total == 0) {
            throw new IllegalArgumentException("an image of " + height + "x" + width + " has no pixels");
        }
        Tensor output = Tensor.zeros(height * scale, width * scale, channels);
        int[] done = {0};
        int seen = Math.min(height, tile + 2 * halo);
        for (int y = 0; y < height; y += tile) {
            int end = Math.min(height, y + tile);
            int top = Math.clamp(y - halo, 0, height - seen);
            Tensor rows = Tensor.wrap(
                    image.array(), image.offset() + top * width * channels, Shape.of(seen, width, channels));
            Tensor made = Tensor.wrap(
                    output.array(),
                    y * scale * width * scale * channels,
                    Shape.of((end - y) * scale, width * scale, channels));
            row(rows, y - top, end - top, network, made, () -> progress.tiles(++done[0], total));
        }
        return output;
    }

    /**
     * Upscales one row of tiles: the rows {@code first} to {@code end} of {@code rows [h, W, C]}, whose other rows are their context.
     *
     * @param output {@code [at least (end - first) scale, W scale, C]}
     */
    void row(Tensor rows, int first, int end, UnaryOperator<Tensor> network, Tensor output, Runnable afterTile) {
        int width = rows.dim(1);
        Tensor window = Tensor.zeros(window(rows.dim(0), width, rows.dim(2)));
        int windowHeight = window.dim(1);
        int windowWidth = window.dim(2);
        for (int x = 0; x < width; x += tile) {
            // Windows are moved inside the image rather than cut at its border, so that all have one shape (and one
            // plan).
            int left = Math.clamp(x - halo, 0, width - windowWidth);
            copy(rows, 0, left, window, 0, 0, windowHeight, windowWidth);
            Tensor result = network.apply(window);
            int columns = Math.min(x + tile, width) - x;
            copy(
                    result,
                    first * scale,
                    (x - left) * scale,
                    output,
                    0,
                    x * scale,
                    (end - first) * scale,
                    columns * scale);
            afterTile.run();
        }
    }

    /** Copies a {@code height x width} rectangle between {@code [.., H, W, C]} tensors. */
    private static void copy(Tensor from, int fromY, int fromX, Tensor to, int toY, int toX, int height, int width) {
        int channels = from.dim(-1);
        for (int y = 0; y < height; y++) {
            System.arraycopy(
                    from.array(),
                    from.offset() + ((fromY + y) * from.dim(-2) + fromX) * channels,
                    to.array(),
                    to.offset() + ((toY + y) * to.dim(-2) + toX) * channels,
                    width * channels);
        }
    }
}
