// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * How large a feature map is around each pixel: the mean magnitude of {@code x [N, H, W, C]} over all channels and the pixels up to {@code
 * radius} away that the map has, {@code [N, H, W, 1]}. It counts as a constant in gradients.
 */
public record LocalMagnitudeOp(int radius) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        if (inputs[0].rank() != 4) {
            throw new IllegalArgumentException("local magnitude: input " + inputs[0] + " must be (N, H, W, C)");
        }
        return inputs[0].with(3, 1);
    }

    @Override
    public Reach reach(Shape... inputs) {
        return Reach.of(radius);
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        forward(compute, inputs, output, radius, radius);
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output, int top, int bottom) {
        Tensor x = inputs[0];
        int height = x.dim(1);
        int width = x.dim(2);
        int channels = x.dim(3);
        double[] sums = new double[x.dim(0) * height * width];
        ChannelRows.forEach(compute, x, (from, to) -> {
            for (int pixel = from; pixel < to; pixel++) {
                int at = x.offset() + pixel * channels;
                float sum = 0;
                for (int c = 0; c < channels; c++) {
                    sum += Math.abs(x.array()[at + c]);
                }
                sums[pixel] = sum;
            }
        });
        int rows = output.dim(1);
        compute.forEachRange(output.dim(0) * rows, 4, (from, to) -> {
            for (int row = from; row < to; row++) {
                int image = row / rows * height;
                int middle = row % rows + radius - top;
                for (int column = 0; column < width; column++) {
                    double sum = 0;
                    int count = 0;
                    for (int y = Math.max(0, middle - radius); y <= Math.min(height - 1, middle + radius); y++) {
                        for (int i = Math.max(0, column - radius); i <= Math.min(width - 1, column + radius); i++) {
                            sum += sums[(image + y) * width + i];
                            count++;
                        }
                    }
                    output.array()[output.offset() + row * width + column] = (float) (sum / count / channels);
                }
            }
        });
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        return new @Nullable Tensor[] {null};
    }
}
