// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Cuts {@code [N, H, W, C]} into square windows: {@code [N * windows, window, window, C]}, image by image, each in rows of windows.
 *
 * @param window the side of a window; divides H and W
 */
public record WindowPartitionOp(int window) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        Shape x = inputs[0];
        PixelMap.requireImages("window partition", x);
        if (window < 1 || x.dim(1) % window != 0 || x.dim(2) % window != 0) {
            throw new IllegalArgumentException("window partition: windows of " + window + " do not divide " + x);
        }
        return Shape.of(x.dim(0) * (x.dim(1) / window) * (x.dim(2) / window), window, window, x.dim(3));
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        int height = inputs[0].dim(1);
        int width = inputs[0].dim(2);
        int across = width / window;
        int perImage = height / window * across;
        PixelMap map = (n, row, column) -> {
            int y = n % perImage / across * window + row;
            int x = n % across * window + column;
            return (n / perImage * height + y) * width + x;
        };
        map.gather(compute, inputs[0], output);
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        Tensor dx = Tensor.zeros(inputs[0].shape());
        new WindowReverseOp(window, dx.dim(1), dx.dim(2)).forward(compute, new Tensor[] {gradient}, dx);
        return new @Nullable Tensor[] {dx};
    }
}
