// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.util.Arrays;

/** Where the pixels of {@code [N, H, W, C]} come from, for ops that only move pixels. */
@FunctionalInterface
interface PixelMap {
    /** Returns the index of the operand's pixel, as if it were {@code [pixels, C]}, that pixel (n, y, x) of the output is; -1 for zeros. */
    int source(int n, int y, int x);

    /** Fills {@code output} with the pixels of {@code input}. */
    default void gather(Compute compute, Tensor input, Tensor output) {
        int channels = output.dim(3);
        int height = output.dim(1);
        int width = output.dim(2);
        compute.forEachRange(output.dim(0) * height, (from, to) -> {
            for (int row = from; row < to; row++) {
                int at = output.offset() + row * width * channels;
                for (int x = 0; x < width; x++, at += channels) {
                    int source = source(row / height, row % height, x);
                    if (source < 0) {
                        Arrays.fill(output.array(), at, at + channels, 0f);
                    } else {
                        System.arraycopy(
                                input.array(), input.offset() + source * channels, output.array(), at, channels);
                    }
                }
            }
        });
    }

    /** Returns the gradient of {@link #gather}'s input for maps that stay within each image, which may repeat pixels. */
    default Tensor scatterAdd(Compute compute, Tensor gradient, Shape inputShape) {
        Tensor dx = Tensor.zeros(inputShape);
        int channels = gradient.dim(3);
        compute.forEachRange(gradient.dim(0), 1, (from, to) -> {
            for (int n = from; n < to; n++) {
                int at = gradient.offset() + n * gradient.dim(1) * gradient.dim(2) * channels;
                for (int y = 0; y < gradient.dim(1); y++) {
                    for (int x = 0; x < gradient.dim(2); x++, at += channels) {
                        int into = source(n, y, x) * channels;
                        for (int c = 0; c < channels; c++) {
                            dx.array()[into + c] += gradient.array()[at + c];
                        }
                    }
                }
            }
        });
        return dx;
    }

    /**
     * Checks that a shape is {@code [N, H, W, C]}.
     *
     * @throws IllegalArgumentException naming the op and the shape
     */
    static void requireImages(String op, Shape x) {
        if (x.rank() != 4) {
            throw new IllegalArgumentException(op + ": input " + x + " is not (N, H, W, C)");
        }
    }
}
