// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.ActivationCodes;
import dev.halftone.tensor.kernels.ConvOutput;
import dev.halftone.tensor.kernels.PackedConv;
import org.jspecify.annotations.Nullable;

/**
 * A convolution that is executed on packed low-bit codes: quantizes {@code x [N, H, W, Cin]} and gives
 * {@code [N, H, W, Cout]}, exactly as {@link PackedConv} defines. It has no gradient; training uses fake quantization.
 *
 * @param relu whether a ReLU follows in the same pass
 * @param residual whether a second operand is there, to which {@code scale} times the result is added
 */
public record QuantizedConv2dOp(
        PackedConv conv, int inChannels, int outChannels, boolean relu, boolean residual, float scale) implements Op {
    /** Creates the convolution alone. */
    public QuantizedConv2dOp(PackedConv conv, int inChannels, int outChannels) {
        this(conv, inChannels, outChannels, false, false, 1);
    }

    @Override
    public Shape outputShape(Shape... inputs) {
        if (inputs[0].rank() != 4 || inputs[0].dim(3) != inChannels) {
            throw new IllegalArgumentException(
                    "quantized conv2d: input " + inputs[0] + " (N, H, W, C) needs " + inChannels + " channels");
        }
        return inputs[0].with(3, outChannels);
    }

    @Override
    public Reach reach(Shape... inputs) {
        return Reach.of(conv.kernel() / 2);
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        Tensor x = inputs[0];
        ActivationCodes codes = conv.allocate(x.dim(0), x.dim(1), x.dim(2));
        quantize(compute, x, codes);
        run(compute, codes, new ConvOutput(relu, residual ? inputs[1] : null, scale, output, null, null));
    }

    /** Quantizes an input into a buffer of the convolution. */
    public void quantize(Compute compute, Tensor x, ActivationCodes codes) {
        compute.forEachRange(rows(codes), (from, to) -> conv.quantize(x, codes, from, to));
    }

    /** Computes from codes. */
    public void run(Compute compute, ActivationCodes codes, ConvOutput output) {
        compute.forEachRange(rows(codes), (from, to) -> conv.forward(codes, output, from, to));
    }

    private static int rows(ActivationCodes codes) {
        return codes.shape().dim(0) * codes.shape().dim(1);
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        throw new IllegalStateException("a convolution on packed codes has no gradient");
    }

    @Override
    public @Nullable Op fuse(Op next, int operand) {
        if (residual) {
            return null;
        }
        return switch (next) {
            case LeakyReluOp(float slope)
            when slope == 0 && !relu -> new QuantizedConv2dOp(conv, inChannels, outChannels, true, false, 1);
            case AddOp(float factor)
            when operand == 1 -> new QuantizedConv2dOp(conv, inChannels, outChannels, relu, true, factor);
            default -> null;
        };
    }
}
