// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** The Gaussian error linear unit (Hendrycks and Gimpel 2016) in its exact form: {@code x} times the normal probability below {@code x}. */
public record GeluOp() implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
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

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        float[] x = inputs[0].array();
        float[] y = output.array();
        compute.forEachRange(output.size(), (from, to) -> {
            for (int i = from; i < to; i++) {
                float v = x[inputs[0].offset() + i];
                y[output.offset() + i] = (float) (v * StandardNormal.cumulative(v));
            }
        });
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        float[] x = inputs[0].array();
        float[] dy = gradient.array();
        Tensor dx = Tensor.zeros(output.shape());
        compute.forEachRange(output.size(), (from, to) -> {
            for (int i = from; i < to; i++) {
                float v = x[inputs[0].offset() + i];
                double slope = StandardNormal.cumulative(v) + v * StandardNormal.density(v);
                dx.array()[i] = (float) (dy[gradient.offset() + i] * slope);
            }
        });
        return new @Nullable Tensor[] {dx};
    }
}
