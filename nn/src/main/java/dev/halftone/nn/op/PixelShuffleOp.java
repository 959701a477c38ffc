// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Pixel shuffle (Shi et al. 2016): {@code [N, H, W, C r^2]} to {@code [N, H r, W r, C]}. Channel {@code c r^2 + i r + j} of pixel
 * {@code (h, w)} becomes channel {@code c} of pixel {@code (h r + i, w r + j)}.
 */
public record PixelShuffleOp(int factor) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        Shape x = inputs[0];
        if (x.rank() != 4 || x.dim(3) % (factor * factor) != 0) {
            throw new IllegalArgumentException("pixel shuffle by " + factor + ": input " + x
                    + " (N, H, W, C) needs a channel count divisible by " + factor * factor);
        }
        return Shape.of(x.dim(0), x.dim(1) * factor, x.dim(2) * factor, x.dim(3) / (factor * factor));
    }

    @Override
    public Reach reach(Shape... inputs) {
        return new Reach(0, factor, factor);
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        shuffle(compute, inputs[0], output, factor, true);
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        Tensor dx = Tensor.zeros(inputs[0].shape());
        shuffle(compute, dx, gradient, factor, false);
        return new @Nullable Tensor[] {dx};
    }

    /** Moves values between {@code deep [N, H, W, C r^2]} and {@code wide [N, H r, W r, C]}, one way or the other. */
    static void shuffle(Compute compute, Tensor deep, Tensor wide, int r, boolean toWide) {
        int width = deep.dim(2);
        int channels = wide.dim(3);
        int deepChannels = deep.dim(3);
        float[] d = deep.array();
        float[] w = wide.array();
        compute.forEachRange(wide.dim(0) * wide.dim(1), (from, to) -> {
            for (int row = from; row < to; row++) {
                int i = row % r;
                int deepRow = deep.offset() + row / r * width * deepChannels;
                int at = wide.offset() + row * width * r * channels;
                for (int x = 0; x < width; x++) {
                    int pixel = deepRow + x * deepChannels;
                    for (int j = 0; j < r; j++) {
                        int tap = pixel + i * r + j;
                        for (int c = 0; c < channels; c++, at++) {
                            if (toWide) {
                                w[at] = d[tap + c * r * r];
                            } else {
                                d[tap + c * r * r] = w[at];
                            }
                        }
                    }
                }
            }
        });
    }
}
