// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.tensor.Tensor;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/**
 * A stride-1 convolution with zero padding: {@code [N, H, W, in]} to {@code [N, H', W', out]}. Parameters {@code weight} and
 * {@code bias} are named as in PyTorch's {@code nn.Conv2d}.
 */
public final class Conv2d extends Module {
    private final int kernel;
    private final int padding;
    private final int groups;
    private final Parameter weight;
    private final @Nullable Parameter bias;

    /** Creates a convolution with bias, one group, "same" padding ({@code kernel / 2}) and zero weights. */
    public Conv2d(int in, int out, int kernel) {
        this(in, out, kernel, kernel / 2, 1, true);
    }

    /** Creates a convolution with zero weights. */
    public Conv2d(int in, int out, int kernel, int padding, int groups, boolean bias) {
        this.kernel = kernel;
        this.padding = padding;
        this.groups = groups;
        this.weight = parameter("weight", Tensor.zeros(kernel, kernel, in / groups, out), Parameter.Layout.CONV);
        this.bias = bias ? parameter("bias", Tensor.zeros(out), Parameter.Layout.PLAIN) : null;
    }

    /**
     * Fills weight and bias from the uniform distribution on {@code +-1 / sqrt(fan in)}, PyTorch's default initialisation, with
     * the weight scaled by {@code gain}.
     */
    public Conv2d initialize(RandomGenerator random, float gain) {
        double bound = 1 / Math.sqrt((double) kernel * kernel * weight.value().dim(2));
        fillUniform(weight.value(), random, bound * gain);
        if (bias != null) {
            fillUniform(bias.value(), random, bound);
        }
        return this;
    }

    private static void fillUniform(Tensor t, RandomGenerator random, double bound) {
        for (int i = 0; i < t.size(); i++) {
            t.array()[t.offset() + i] = (float) random.nextDouble(-bound, bound);
        }
    }

    /** Returns the weight {@code [k, k, in / groups, out]}. */
    public Parameter weight() {
        return weight;
    }

    /** Returns the bias {@code [out]}, or null. */
    public @Nullable Parameter bias() {
        return bias;
    }

    /** Returns the zeros added on every side. */
    public int padding() {
        return padding;
    }

    /** Returns the number of groups. */
    public int groups() {
        return groups;
    }

    @Override
    public Value forward(Value x) {
        return x.conv2d(weight.in(x), bias == null ? null : bias.in(x), padding, groups);
    }
}
