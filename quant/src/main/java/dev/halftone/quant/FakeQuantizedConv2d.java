// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.Conv2d;
import dev.halftone.nn.Module;
import dev.halftone.nn.Parameter;
import dev.halftone.nn.Value;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;

/**
 * A convolution whose weight and input are quantized and dequantized in fp32: what {@link QuantizedConv2d} computes, up to the
 * rounding of float sums, but with gradients for weights and bounds.
 */
public final class FakeQuantizedConv2d extends Module {
    private final Conv2d conv;
    private final int weightBits;
    private final int activationBits;
    private final Parameter weightLower;
    private final Parameter weightUpper;
    private final Parameter activationLower;
    private final Parameter activationUpper;
    private final float[] leastWeightDistance;
    private final float[] leastActivationDistance;

    /** Wraps a convolution, sharing its weight and bias. */
    public FakeQuantizedConv2d(Conv2d conv, UniformQuantizer weight, UniformGrid activation) {
        QuantizedConv2d.requireSupported(conv);
        this.conv = conv;
        child("conv", conv);
        weightBits = weight.bits();
        activationBits = activation.bits();
        weightLower = parameter("weight_lower", weight.lower(), Parameter.Layout.PLAIN);
        weightUpper = parameter("weight_upper", weight.upper(), Parameter.Layout.PLAIN);
        activationLower =
                parameter("activation_lower", Tensor.scalar(activation.lower()).reshape(1), Parameter.Layout.PLAIN);
        activationUpper =
                parameter("activation_upper", Tensor.scalar(activation.upper()).reshape(1), Parameter.Layout.PLAIN);
        leastWeightDistance = least(weightLower.value(), weightUpper.value());
        leastActivationDistance = least(activationLower.value(), activationUpper.value());
    }

    @Override
    public Value forward(Value x) {
        Value w = conv.weight().in(x).fakeQuantize(weightLower.in(x), weightUpper.in(x), weightBits);
        Parameter bias = conv.bias();
        return x.fakeQuantize(activationLower.in(x), activationUpper.in(x), activationBits)
                .conv2d(w, bias == null ? null : bias.in(x), conv.padding(), 1);
    }

    /** Returns the quantizer of the weight with its present bounds. */
    public UniformQuantizer weight() {
        return UniformQuantizer.of(weightBits, weightLower.value(), weightUpper.value());
    }

    /** Returns the grid of the input with its present bounds. */
    public UniformGrid activation() {
        return new UniformGrid(
                activationBits,
                activationLower.value().item(),
                activationUpper.value().item());
    }

    /**
     * Keeps every pair of bounds apart, at least a thousandth of the distance that it began with: a step of training may have moved
     * one across the other, where there is no grid.
     */
    void separateBounds() {
        separate(weightLower, weightUpper, leastWeightDistance);
        separate(activationLower, activationUpper, leastActivationDistance);
    }

    private static void separate(Parameter lower, Parameter upper, float[] least) {
        for (int i = 0; i < least.length; i++) {
            float l = lower.value().get(i);
            float u = upper.value().get(i);
            if (u - l < least[i]) {
                float middle = (l + u) / 2;
                lower.value().set(middle - least[i] / 2, i);
                upper.value().set(middle + least[i] / 2, i);
            }
        }
    }

    private static float[] least(Tensor lower, Tensor upper) {
        float[] least = new float[lower.size()];
        for (int i = 0; i < least.length; i++) {
            least[i] = (upper.get(i) - lower.get(i)) * 1e-3f;
        }
        return least;
    }

    /** Returns the packed layer with the present weights and bounds. */
    public QuantizedConv2d pack() {
        return QuantizedConv2d.of(conv, weight(), activation());
    }
}
