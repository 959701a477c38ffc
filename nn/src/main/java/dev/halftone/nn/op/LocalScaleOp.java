// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Every pixel of {@code y [N, H, W, C]} times a power of how large something is there, or divided by it: {@code (m / unit + 0.01)^a} for
 * {@code m [N, H, W, 1]}, which is at least 0, {@code a [1]} and {@code unit [1]}. {@code m} and the unit count as constants in gradients.
 *
 * @param divide whether to divide
 */
public record LocalScaleOp(boolean divide) implements Op {
    /** So that what is 0 has a logarithm. */
    private static final double LEAST = 0.01;

    @Override
    public Shape outputShape(Shape... inputs) {
        boolean fits = inputs[0].rank() == 4
                && inputs[1].equals(inputs[0].with(3, 1))
                && inputs[2].equals(Shape.of(1))
                && inputs[3].equals(Shape.of(1));
        if (!fits) {
            throw new IllegalArgumentException("local scale: " + inputs[0] + " by magnitudes " + inputs[1] + " with "
                    + inputs[2] + " and " + inputs[3] + ", which must be one number each");
        }
        return inputs[0];
    }

    @Override
    public boolean elementwise() {
        return true;
    }

    @Override
    public Reach reach(Shape... inputs) {
        return Reach.ROW;
    }

    private static double logarithm(Tensor[] inputs, int pixel) {
        return Math.log(inputs[1].array()[inputs[1].offset() + pixel] / inputs[3].item() + LEAST);
    }

    private float factor(Tensor[] inputs, int pixel) {
        double a = inputs[2].item();
        return (float) Math.exp((divide ? -a : a) * logarithm(inputs, pixel));
    }

    private void scale(Compute compute, Tensor[] inputs, Tensor from, Tensor to) {
        int channels = from.dim(3);
        ChannelRows.forEach(compute, from, (first, end) -> {
            for (int pixel = first; pixel < end; pixel++) {
                float factor = factor(inputs, pixel);
                int at = from.offset() + pixel * channels;
                int into = to.offset() + pixel * channels;
                for (int c = 0; c < channels; c++) {
                    to.array()[into + c] = factor * from.array()[at + c];
                }
            }
        });
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        scale(compute, inputs, inputs[0], output);
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        Tensor dy = null;
        if (wanted[0]) {
            dy = Tensor.zeros(output.shape());
            scale(compute, inputs, gradient, dy);
        }
        int channels = output.dim(3);
        Tensor da = wanted[2]
                ? ChannelRows.sums(compute, output, 1, (from, to, own) -> {
                    for (int pixel = from; pixel < to; pixel++) {
                        double sum = 0;
                        for (int c = 0; c < channels; c++) {
                            int i = pixel * channels + c;
                            sum += (double) gradient.array()[gradient.offset() + i]
                                    * output.array()[output.offset() + i];
                        }
                        own[0] += (divide ? -sum : sum) * logarithm(inputs, pixel);
                    }
                })
                : null;
        return new @Nullable Tensor[] {dy, null, da, null};
    }
}
