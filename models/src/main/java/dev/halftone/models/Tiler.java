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

    /**
     * Upscales {@code image [H, W, C]}.
     *
     * @param network maps a window {@code [1, h, w, C]} to {@code [1, h scale, w scale, C']}; its result may be a reused buffer
     */
    public Tensor run(Tensor image, UnaryOperator<Tensor> network, Progress progress) {
        int height = image.dim(0);
        int width = image.dim(1);
        Tensor window = Tensor.zeros(window(height, width, image.dim(2)));
        int windowHeight = window.dim(1);
        int windowWidth = window.dim(2);
        int rows = Math.ceilDiv(height, tile);
        int columns = Math.ceilDiv(width, tile);
        Tensor output = null;
        for (int i = 0; i < rows * columns; i++) {
            int y = i / columns * tile;
            int x = i % columns * tile;
            // Windows are moved inside the image rather than cut at its border, so that all have one shape (and one
            // plan).
            int top = Math.clamp(y - halo, 0, height - windowHeight);
            int left = Math.clamp(x - halo, 0, width - windowWidth);
            copy(image, top, left, window, 0, 0, windowHeight, windowWidth);
            Tensor result = network.apply(window);
            if (output == null) {
                output = Tensor.zeros(height * scale, width * scale, result.dim(3));
            }
            copy(
                    result,
                    (y - top) * scale,
                    (x - left) * scale,
                    output,
                    y * scale,
                    x * scale,
                    (Math.min(y + tile, height) - y) * scale,
                    (Math.min(x + tile, width) - x) * scale);
            progress.tiles(i + 1, rows * columns);
        }
        if (output == null) {
            throw new IllegalArgumentException("an image of " + height + "x" + width + " has no pixels");
        }
        return output;
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
