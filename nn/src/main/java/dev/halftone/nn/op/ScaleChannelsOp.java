// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Operands {@code x} and {@code s [C]}, where {@code C} is a dimension of {@code x}: every channel times its factor, or divided by
 * it. Used where channels are scaled on one side of a quantizer and back on the other.
 *
 * @param axis the dimension; negative counts from the end
 * @param divide whether to divide
 */
public record ScaleChannelsOp(int axis, boolean divide) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        if (inputs[1].rank() != 1 || inputs[1].dim(0) != inputs[0].dim(axis)) {
            throw new IllegalArgumentException(
                    "scale channels: factors " + inputs[1] + " for dimension " + axis + " of " + inputs[0]);
        }
        return inputs[0];
    }

    @Override
    public boolean elementwise() {
        return true;
    }

    @Override
    public @Nullable Reach reach(Shape... inputs) {
        return axis == -1 || axis == inputs[0].rank() - 1 ? Reach.ROW : null;
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        scale(compute, inputs[0], inputs[1], output);
    }

    private void scale(Compute compute, Tensor x, Tensor factors, Tensor y) {
        int inner = inner(x.shape());
        float[] s = factors.toArray();
        if (inner == 1) {
            // Rows of channels need no remainder for each element.
            ChannelRows.forEach(compute, y, (from, to) -> {
                for (int row = from; row < to; row++) {
                    int at = x.offset() + row * s.length;
                    int into = y.offset() + row * s.length;
                    if (divide) {
                        for (int c = 0; c < s.length; c++) {
                            y.array()[into + c] = x.array()[at + c] / s[c];
                        }
                    } else {
                        for (int c = 0; c < s.length; c++) {
                            y.array()[into + c] = x.array()[at + c] * s[c];
                        }
                    }
                }
            });
            return;
        }
        Ranges.forEach(compute, y.size(), (from, to) -> {
            for (int i = from; i < to; i++) {
                float v = x.array()[x.offset() + i];
                float f = s[i / inner % s.length];
                y.array()[y.offset() + i] = divide ? v / f : v * f;
            }
        });
    }

    /** Returns the number of elements between two channels. */
    private int inner(Shape x) {
        int inner = 1;
        for (int d = (axis < 0 ? axis + x.rank() : axis) + 1; d < x.rank(); d++) {
            inner *= x.dim(d);
        }
        return inner;
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        Tensor dx = null;
        if (wanted[0]) {
            dx = Tensor.zeros(output.shape());
            scale(compute, gradient, inputs[1], dx);
        }
        return new @Nullable Tensor[] {dx, wanted[1] ? factorGradient(compute, inputs, gradient) : null};
    }

    /** For {@code y = x s} the sum of {@code g x}, for {@code y = x / s} that of {@code -g x / s^2}. */
    private Tensor factorGradient(Compute compute, Tensor[] inputs, Tensor gradient) {
        Tensor x = inputs[0];
        int inner = inner(x.shape());
        int channels = inputs[1].size();
        Tensor total = inner == 1
                ? ChannelRows.productSums(compute, gradient, x)
                : productSums(compute, gradient, x, inner, channels);
        for (int c = 0; divide && c < channels; c++) {
            double s = inputs[1].get(c);
            total.set((float) (-total.get(c) / (s * s)), c);
        }
        return total;
    }

    private static Tensor productSums(Compute compute, Tensor gradient, Tensor x, int inner, int channels) {
        double[][] sums = new double[x.size() / Ranges.GRAIN + 1][channels];
        Ranges.forEach(compute, x.size(), (from, to) -> {
            double[] own = sums[from / Ranges.GRAIN];
            for (int i = from; i < to; i++) {
                own[i / inner % channels] +=
                        (double) gradient.array()[gradient.offset() + i] * x.array()[x.offset() + i];
            }
        });
        return Ranges.total(sums);
    }
}
