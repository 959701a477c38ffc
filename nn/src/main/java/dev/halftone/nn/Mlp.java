// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

/** The multi-layer perceptron of transformers, {@code fc2(gelu(fc1(x)))} over the innermost dimension. */
public final class Mlp extends Module {
    private final Child first;
    private final Child second;

    /** Creates the layers with zero weights. */
    public Mlp(int channels, int hidden) {
        first = child("fc1", new Linear(channels, hidden));
        second = child("fc2", new Linear(hidden, channels));
    }

    @Override
    public Value forward(Value x) {
        return second.forward(first.forward(x).gelu());
    }
}
