// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.ConvGeometry;
import dev.halftone.tensor.kernels.ConvKernels;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.PointwiseKernels;
import dev.halftone.tensor.kernels.WinogradWeight;
import org.jspecify.annotations.Nullable;

/**
 * A 3x3 convolution with constant weights, by {@link ConvKernels#winograd}: {@code x [N, H, W, Cin]} to {@code [N, H, W, Cout]}. Plans
 * put it in the place of a {@link Conv2dOp} and fuse what follows. It has no gradient.
 *
 * @param weight {@code [3, 3, Cin, Cout]}
 * @param shuffle the factor of a pixel shuffle that follows in the same pass, 1 for none
 * @param relu whether a ReLU follows in the same pass
 * @param residual whether a second operand is there, to which {@code scale} times the result is then added
 */
public record WinogradConv2dOp(
        Tensor weight, @Nullable Tensor bias, int shuffle, boolean relu, boolean residual, float scale) implements Op {
    /** Returns the convolution alone, or null if this algorithm does not suit it. */
    public static @Nullable WinogradConv2dOp of(Conv2dOp op, Tensor weight, @Nullable Tensor bias) {
        return WinogradWeight.suits(weight.shape(), op.padding(), op.groups()) && !op.residual()
                ? new WinogradConv2dOp(weight, bias, 1, op.relu(), false, 1)
                : null;
    }

    @Override
    public Shape outputShape(Shape... inputs) {
        Shape x = inputs[0];
        if (x.rank() != 4 || x.dim(3) != weight.dim(2)) {
            throw new IllegalArgumentException(
                    "conv2d: input " + x + " (N, H, W, C) does not fit weight " + weight.shape());
        }
        return Shape.of(x.dim(0), x.dim(1) * shuffle, x.dim(2) * shuffle, weight.dim(3) / (shuffle * shuffle));
    }

    @Override
    public Reach reach(Shape... inputs) {
        return new Reach(1, shuffle, WinogradWeight.TILE * shuffle);
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        run(compute, transform(), inputs, output, 1, 1);
    }

    /** Returns the weights as the kernels want them. */
    public WinogradWeight transform() {
        return WinogradWeight.of(weight, bias, shuffle);
    }

    /**
     * Computes with transformed weights.
     *
     * @param top zeros above the input: 1, or 0 where {@code inputs[0]} has the row above the first row of the output
     * @param bottom zeros below the input, in the same way
     */
    public void run(Compute compute, WinogradWeight transformed, Tensor[] inputs, Tensor output, int top, int bottom) {
        Shape x = inputs[0].shape();
        ConvGeometry g = new ConvGeometry(x.dim(0), x.dim(1), x.dim(2), x.dim(3), weight.dim(3), 3, 1, 1, top, bottom);
        ConvKernels kernels = KernelProvider.kernels().conv();
        compute.forEachRange(WinogradWeight.blocks(g), (from, to) -> {
            float[] scratch = compute.borrow(kernels.winogradScratch(transformed));
            for (int i = from; i < to; i++) {
                kernels.winograd(g, transformed, inputs[0], relu, output, scratch, i, i + 1);
                if (residual) {
                    add(inputs[1], output, WinogradWeight.block(g, i));
                }
            }
            compute.giveBack(scratch);
        });
    }

    /** Adds a block of results, which is still in cache, to the residual. */
    private void add(Tensor to, Tensor output, WinogradWeight.Block block) {
        PointwiseKernels pointwise = KernelProvider.kernels().pointwise();
        int channels = output.dim(3);
        for (int row = 0; row < block.height(); row++) {
            int y = block.n() * output.dim(1) + block.top() + row;
            int at = (y * output.dim(2) + block.left()) * channels;
            pointwise.addScaled(to, scale, output, output, at, at + block.width() * channels);
        }
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        throw new IllegalStateException("a convolution with transformed weights has no gradient");
    }

    @Override
    public @Nullable Op fuse(Op next, int operand) {
        if (residual) {
            return null;
        }
        return switch (next) {
            case LeakyReluOp(float slope)
            when slope == 0 && !relu -> new WinogradConv2dOp(weight, bias, shuffle, true, false, 1);
            case AddOp(float factor)
            when operand == 1 && shuffle == 1 -> new WinogradConv2dOp(weight, bias, 1, relu, true, factor);
            case PixelShuffleOp(int factor)
            when shuffle == 1 && WinogradWeight.suitsShuffle(weight.dim(3), factor) ->
                new WinogradConv2dOp(weight, bias, factor, relu, false, 1);
            default -> null;
        };
    }
}
