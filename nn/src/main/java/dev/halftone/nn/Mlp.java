// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.nn.op.MlpBranchOp;
import org.jspecify.annotations.Nullable;

/** The multi-layer perceptron of transformers, {@code fc2(gelu(fc1(x)))} over the innermost dimension. */
public final class Mlp extends Module {
    private final Child first;
    private final Child second;

    /** Creates the layers with zero weights. */
    public Mlp(int channels, int hidden) {
        first = child("fc1", new Linear(channels, hidden));
        second = child("fc2", new Linear(hidden, channels));
    }

    /** Returns {@code x + forward(norm(x))} as one op, or null where layers are not the original ones. */
    @Nullable
    Value branch(Value x, LayerNorm norm) {
        if (first.module() instanceof Linear one && second.module() instanceof Linear two) {
            return x.graph()
                    .apply(
                            new MlpBranchOp(LayerNorm.EPSILON),
                            x,
                            norm.weight().in(x),
                            norm.bias().in(x),
                            one.weight().in(x),
                            one.bias().in(x),
                            two.weight().in(x),
                            two.bias().in(x));
        }
        return null;
    }

    @Override
    public Value forward(Value x) {
        return second.forward(first.forward(x).gelu());
    }
}
