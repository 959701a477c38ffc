// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * {@code exp(x) / sum exp(x)} along one dimension, computed after subtracting the largest value.
 *
 * @param axis the dimension; negative counts from the end
 */
public record SoftmaxOp(int axis) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        if (axis >= inputs[0].rank() || axis < -inputs[0].rank()) {
            throw new IllegalArgumentException("softmax along dimension " + axis + " of " + inputs[0]);
        }
        return inputs[0];
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        Axis a = Axis.of(output.shape(), axis);
        float[] x = inputs[0].array();
        float[] y = output.array();
        compute.forEachRange(a.outer() * a.inner(), (from, to) -> {
            for (int line = from; line < to; line++) {
                int start = line / a.inner() * a.length() * a.inner() + line % a.inner();
                int xAt = inputs[0].offset() + start;
                int yAt = output.offset() + start;
                float max = Float.NEGATIVE_INFINITY;
                for (int i = 0; i < a.length(); i++) {
                    max = Math.max(max, x[xAt + i * a.inner()]);
                }
                double sum = 0;
                for (int i = 0; i < a.length(); i++) {
                    float e = (float) Math.exp(x[xAt + i * a.inner()] - max);
                    y[yAt + i * a.inner()] = e;
                    sum += e;
                }
                float factor = (float) (1 / sum);
                for (int i = 0; i < a.length(); i++) {
                    y[yAt + i * a.inner()] *= factor;
                }
            }
        });
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        Axis a = Axis.of(output.shape(), axis);
        float[] y = output.array();
        float[] dy = gradient.array();
        Tensor dx = Tensor.zeros(output.shape());
        compute.forEachRange(a.outer() * a.inner(), (from, to) -> {
            for (int line = from; line < to; line++) {
                int start = line / a.inner() * a.length() * a.inner() + line % a.inner();
                int yAt = output.offset() + start;
                int dyAt = gradient.offset() + start;
                double dot = 0;
                for (int i = 0; i < a.length(); i++) {
                    dot += (double) y[yAt + i * a.inner()] * dy[dyAt + i * a.inner()];
                }
                for (int i = 0; i < a.length(); i++) {
                    dx.array()[start + i * a.inner()] =
                            (float) (y[yAt + i * a.inner()] * (dy[dyAt + i * a.inner()] - dot));
                }
            }
        });
        return new @Nullable Tensor[] {dx};
    }
}
