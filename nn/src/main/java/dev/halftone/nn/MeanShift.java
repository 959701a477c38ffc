// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.tensor.Tensor;

/**
 * Adds a fixed RGB shift, as a 1x1 convolution with identity weight whose tensors are stored like any other (the {@code sub_mean}
 * and {@code add_mean} of EDSR).
 */
public final class MeanShift extends Module {
    private final Parameter weight;
    private final Parameter bias;

    /** Creates {@code y = x + shift} for {@code [N, H, W, C]} inputs, one entry of {@code shift} per channel. */
    public MeanShift(float... shift) {
        Tensor identity = Tensor.zeros(1, 1, shift.length, shift.length);
        for (int c = 0; c < shift.length; c++) {
            identity.set(1, 0, 0, c, c);
        }
        weight = buffer("weight", identity, Parameter.Layout.CONV);
        bias = buffer("bias", Tensor.of(shift.clone(), shift.length), Parameter.Layout.PLAIN);
    }

    @Override
    public Value forward(Value x) {
        return x.conv2d(weight.in(x), bias.in(x), 0, 1);
    }
}
