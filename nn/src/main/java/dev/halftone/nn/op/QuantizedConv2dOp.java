// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.ActivationCodes;
import dev.halftone.tensor.kernels.PackedConv;
import org.jspecify.annotations.Nullable;

/**
 * A convolution that is executed on packed low-bit codes: quantizes {@code x [N, H, W, Cin]} and gives
 * {@code [N, H, W, Cout]}, exactly as {@link PackedConv} defines. It has no gradient; training uses fake quantization.
 *
 * @param relu whether a ReLU follows in the same pass
 */
public record QuantizedConv2dOp(PackedConv conv, int inChannels, int outChannels, boolean relu) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        if (inputs[0].rank() != 4 || inputs[0].dim(3) != inChannels) {
            throw new IllegalArgumentException(
                    "quantized conv2d: input " + inputs[0] + " (N, H, W, C) needs " + inChannels + " channels");
        }
        return inputs[0].with(3, outChannels);
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        Tensor x = inputs[0];
        int rows = x.dim(0) * x.dim(1);
        ActivationCodes codes = conv.allocate(x.dim(0), x.dim(1), x.dim(2));
        compute.forEachRange(rows, (from, to) -> conv.quantize(x, codes, from, to));
        compute.forEachRange(rows, (from, to) -> conv.forward(codes, relu, output, from, to));
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        throw new IllegalStateException("a convolution on packed codes has no gradient");
    }

    @Override
    public @Nullable Op fuse(Op next) {
        return !relu && next instanceof LeakyReluOp(float slope) && slope == 0
                ? new QuantizedConv2dOp(conv, inChannels, outChannels, true)
                : null;
    }
}
