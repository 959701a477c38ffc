// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.Module;
import dev.halftone.nn.Value;
import dev.halftone.nn.op.IntegerConv2dOp;
import dev.halftone.quant.format.ActivationQuantizer;
import dev.halftone.quant.format.UniformWeight;
import dev.halftone.quant.format.WeightFormat;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.IntegerConv;
import org.jspecify.annotations.Nullable;

/**
 * A convolution that is executed in integers alone ({@link IntegerConv}): {@code [N, H, W, in]} to {@code [N, H, W, out]}, stride 1,
 * "same" padding, one group. Where its output has a grid, it gives codes, which go to the next such convolution as they are, also
 * through a ReLU. It has no parameters to train.
 */
public final class IntegerConv2d extends Module implements QuantizedLayer {
    /** What the entry of a layer in a file begins with after its bits. */
    public static final String TAG = "integer";

    private final QuantizedConv2d conv;
    private final IntegerConv integers;

    /**
     * Creates the layer.
     *
     * @param conv what is executed
     * @param output the grid of the output, or null if fp32 follows
     * @throws IllegalArgumentException if a grid has no level at 0, or the weight is stored in another format than {@link UniformWeight}
     */
    IntegerConv2d(QuantizedConv2d conv, @Nullable UniformGrid output) {
        if (!(conv.stored() instanceof UniformWeight)) {
            throw new IllegalArgumentException(
                    "a weight stored as " + conv.stored().tag() + " does not run in integers alone");
        }
        this.conv = conv;
        integers = new IntegerConv(conv.prepared(), conv.activation(), output);
    }

    @Override
    public Value forward(Value x) {
        return x.graph().apply(new IntegerConv2dOp(integers), x);
    }

    /** Returns the grid of the output, or null if fp32 follows. */
    public @Nullable UniformGrid output() {
        return integers.output();
    }

    /** Returns what a file says of the layer: that it is one, and the bits of its output. */
    String tag() {
        UniformGrid output = output();
        return output == null ? TAG : TAG + output.bits();
    }

    @Override
    public WeightFormat stored() {
        return conv.stored();
    }

    @Override
    public ActivationQuantizer input() {
        return conv.input();
    }

    @Override
    public @Nullable Tensor bias() {
        return conv.bias();
    }
}
