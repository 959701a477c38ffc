// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.tensor.Tensor;
import java.util.List;
import java.util.random.RandomGenerator;

/**
 * A linear layer over the innermost dimension: {@code [..., in]} to {@code [..., out]}. Parameters {@code weight} and {@code bias} are
 * named as in PyTorch's {@code nn.Linear}.
 */
public final class Linear extends Module implements BranchLayer {
    private final Parameter weight;
    private final Parameter bias;

    /** Creates a layer with zero weights. */
    public Linear(int in, int out) {
        weight = parameter("weight", Tensor.zeros(in, out), Parameter.Layout.LINEAR);
        bias = parameter("bias", Tensor.zeros(out), Parameter.Layout.PLAIN);
    }

    /** Fills the weight from a normal distribution of variance {@code 1 / (3 in)}, that of PyTorch's layers, and the bias with 0. */
    public Linear initialize(RandomGenerator random) {
        fillNormal(weight.value(), Math.sqrt(1.0 / (3 * weight.value().shape().dim(0))), random);
        bias.value().fill(0);
        return this;
    }

    static void fillNormal(Tensor t, double deviation, RandomGenerator random) {
        for (int i = 0; i < t.size(); i++) {
            t.array()[t.offset() + i] = (float) (deviation * random.nextGaussian());
        }
    }

    /** Returns the weight {@code [in, out]}. */
    public Parameter weight() {
        return weight;
    }

    /** Returns the bias {@code [out]}. */
    public Parameter bias() {
        return bias;
    }

    @Override
    public Part part(Value x) {
        return new Linears(List.of(weight.in(x), bias.in(x)), List.of(), null);
    }

    @Override
    public Value forward(Value x) {
        return x.linear(weight.in(x), bias.in(x));
    }
}
