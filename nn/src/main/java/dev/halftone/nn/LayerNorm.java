// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.tensor.Tensor;

/** Layer normalisation over the innermost dimension, with parameters {@code weight} and {@code bias} as in PyTorch. */
public final class LayerNorm extends Module {
    static final float EPSILON = 1e-5f;

    private final Parameter weight;
    private final Parameter bias;

    /** Creates the layer with weight 1 and bias 0. */
    public LayerNorm(int channels) {
        weight = parameter("weight", Tensor.zeros(channels).fill(1), Parameter.Layout.PLAIN);
        bias = parameter("bias", Tensor.zeros(channels), Parameter.Layout.PLAIN);
    }

    /** Returns the weight {@code [C]}. */
    public Parameter weight() {
        return weight;
    }

    /** Returns the bias {@code [C]}. */
    public Parameter bias() {
        return bias;
    }

    @Override
    public Value forward(Value x) {
        return x.layerNorm(weight.in(x), bias.in(x), EPSILON);
    }
}
