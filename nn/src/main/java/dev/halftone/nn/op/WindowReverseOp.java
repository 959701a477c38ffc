// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Puts the windows of {@link WindowPartitionOp} together again: {@code [N * windows, window, window, C]} to
 * {@code [N, height, width, C]}.
 */
public record WindowReverseOp(int window, int height, int width) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        Shape x = inputs[0];
        PixelMap.requireImages("window reverse", x);
        int perImage = window < 1 ? 0 : (height / window) * (width / window);
        if (perImage < 1
                || height % window != 0
                || width % window != 0
                || x.dim(0) % perImage != 0
                || x.dim(1) != window
                || x.dim(2) != window) {
            throw new IllegalArgumentException(
                    "window reverse: " + x + " are no windows of " + window + " of images of " + height + "x" + width);
        }
        return Shape.of(x.dim(0) / perImage, height, width, x.dim(3));
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        int across = width / window;
        int down = height / window;
        PixelMap map = (n, row, column) -> {
            int index = (n * down + row / window) * across + column / window;
            return (index * window + row % window) * window + column % window;
        };
        map.gather(compute, inputs[0], output);
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        Tensor dx = Tensor.zeros(inputs[0].shape());
        new WindowPartitionOp(window).forward(compute, new Tensor[] {gradient}, dx);
        return new @Nullable Tensor[] {dx};
    }
}
