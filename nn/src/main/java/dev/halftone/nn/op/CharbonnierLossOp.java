// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The scalar {@code scale * sum sqrt((a - b)^2 + epsilon)}, a smooth L1 loss (Lai et al. 2017; BasicSR and 2DQuant use
 * {@code epsilon = 1e-12} and {@code scale = 1 / size}).
 */
public record CharbonnierLossOp(float scale, double epsilon) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        if (!inputs[0].equals(inputs[1])) {
            throw new IllegalArgumentException(
                    "Charbonnier loss: shapes " + inputs[0] + " and " + inputs[1] + " differ");
        }
        return Shape.of();
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        double sum = Ranges.sum(compute, inputs[0].size(), (from, to) -> {
            double part = 0;
            for (int i = from; i < to; i++) {
                double d = difference(inputs, i);
                part += Math.sqrt(d * d + epsilon);
            }
            return part;
        });
        output.fill((float) (scale * sum));
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        double step = (double) gradient.item() * scale;
        Tensor da = Tensor.zeros(inputs[0].shape());
        Ranges.forEach(compute, da.size(), (from, to) -> {
            for (int i = from; i < to; i++) {
                double d = difference(inputs, i);
                da.array()[i] = (float) (step * d / Math.sqrt(d * d + epsilon));
            }
        });
        return new @Nullable Tensor[] {wanted[0] ? da : null, wanted[1] ? ScaleOp.scaled(compute, da, -1) : null};
    }

    private static double difference(Tensor[] inputs, int i) {
        return (double) inputs[0].array()[inputs[0].offset() + i] - inputs[1].array()[inputs[1].offset() + i];
    }
}
