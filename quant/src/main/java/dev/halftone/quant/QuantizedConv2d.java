// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.BranchLayer;
import dev.halftone.nn.Conv2d;
import dev.halftone.nn.Module;
import dev.halftone.nn.Parameter;
import dev.halftone.nn.Value;
import dev.halftone.nn.op.QuantizedConv2dOp;
import dev.halftone.quant.format.ActivationQuantizer;
import dev.halftone.quant.format.NormalizedQuantizer;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.quant.format.UniformWeight;
import dev.halftone.quant.format.WeightFormat;
import dev.halftone.tensor.PackedCodes;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.ChannelNormalization;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.PackedConv;
import dev.halftone.tensor.kernels.QuantizedConvWeight;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A convolution that is stored and executed as packed codes: {@code [N, H, W, in]} to {@code [N, H, W, out]}, stride 1, "same"
 * padding, one group. A linear layer is one of kernel 1. It has no parameters to train.
 */
public final class QuantizedConv2d extends Module implements BranchLayer, QuantizedLayer {
    private final int kernel;
    private final int in;
    private final int out;
    private final PackedCodes codes;
    private final UniformQuantizer weight;
    private final UniformGrid activation;
    private final @Nullable ChannelNormalization normalization;
    private final @Nullable Tensor bias;
    private final QuantizedConvWeight prepared;
    private final PackedConv packed;
    private final @Nullable WeightFormat stored;

    /**
     * Creates the layer from codes.
     *
     * @param codes {@code [kernel, kernel, in, out]}
     * @param weight what they stand for; per tensor or per output channel
     * @param activation the grid on which inputs are quantized
     * @param bias {@code [out]}, or null
     */
    public QuantizedConv2d(
            int kernel,
            int in,
            int out,
            PackedCodes codes,
            UniformQuantizer weight,
            UniformGrid activation,
            @Nullable Tensor bias) {
        this(kernel, in, out, codes, weight, activation, null, bias);
    }

    /**
     * Creates the layer from codes.
     *
     * @param codes {@code [kernel, kernel, in, out]}
     * @param weight what they stand for, of the normalised input; per tensor or per output channel
     * @param activation the grid on which inputs are quantized
     * @param normalization what is done to the channels of an input before, or null
     * @param bias {@code [out]}, or null
     */
    public QuantizedConv2d(
            int kernel,
            int in,
            int out,
            PackedCodes codes,
            UniformQuantizer weight,
            UniformGrid activation,
            @Nullable ChannelNormalization normalization,
            @Nullable Tensor bias) {
        this(kernel, in, out, codes, weight, activation, normalization, bias, null);
    }

    private QuantizedConv2d(
            int kernel,
            int in,
            int out,
            PackedCodes codes,
            UniformQuantizer weight,
            UniformGrid activation,
            @Nullable ChannelNormalization normalization,
            @Nullable Tensor bias,
            @Nullable WeightFormat stored) {
        this.stored = stored;
        this.normalization = normalization;
        this.kernel = kernel;
        this.in = in;
        this.out = out;
        this.codes = codes;
        this.weight = weight;
        this.activation = activation;
        this.bias = bias;
        Tensor scale = Tensor.zeros(out);
        Tensor lower = Tensor.zeros(out);
        for (int c = 0; c < out; c++) {
            scale.set(weight.grid(c).scale(), c);
            lower.set(weight.grid(c).lower(), c);
        }
        prepared = new QuantizedConvWeight(kernel, in, out, codes, scale, lower, bias, normalization);
        packed = KernelProvider.kernels().lowBit().prepare(prepared, activation);
    }

    /** Returns the layer that a convolution becomes under these quantizers. */
    public static QuantizedConv2d of(Conv2d conv, UniformQuantizer weight, UniformGrid activation) {
        requireSupported(conv);
        Parameter bias = conv.bias();
        UniformWeight codes = weight.store(conv.weight().value());
        return of(
                codes,
                codes,
                UniformQuantizer.perTensor(activation),
                bias == null ? null : bias.value().copy());
    }

    /**
     * Returns the layer of a weight {@code [k, k, in, out]}, or {@code [in, out]} of a linear layer.
     *
     * @param stored what a file has of it
     */
    static QuantizedConv2d of(
            WeightFormat stored, UniformWeight weight, ActivationQuantizer input, @Nullable Tensor bias) {
        ChannelNormalization normalization = null;
        ActivationQuantizer grid = input;
        if (input instanceof NormalizedQuantizer normalized) {
            normalization = normalized.normalization();
            grid = normalized.normalized();
        }
        Shape shape = weight.shape();
        return new QuantizedConv2d(
                shape.rank() == 2 ? 1 : shape.dim(0),
                shape.dim(-2),
                shape.dim(-1),
                weight.codes(),
                weight.quantizer(),
                QuantizableLayer.grid(grid),
                normalization,
                bias,
                stored);
    }

    /**
     * Returns linear layers of the same input as one, or null if their inputs are quantized differently.
     */
    static @Nullable QuantizedConv2d beside(List<QuantizedConv2d> layers) {
        QuantizedConv2d first = layers.getFirst();
        int out = 0;
        for (QuantizedConv2d layer : layers) {
            if (layer.kernel != 1
                    || layer.normalization != null
                    || !layer.activation.equals(first.activation)
                    || layer.codes.bits() != first.codes.bits()) {
                return null;
            }
            out += layer.out;
        }
        byte[] codes = new byte[first.in * out];
        List<UniformGrid> grids = new ArrayList<>();
        Tensor bias = Tensor.zeros(out);
        for (QuantizedConv2d layer : layers) {
            byte[] own = layer.codes.unpack();
            for (int i = 0; i < first.in; i++) {
                System.arraycopy(own, i * layer.out, codes, i * out + grids.size(), layer.out);
            }
            for (int c = 0; c < layer.out; c++) {
                if (layer.bias != null) {
                    bias.set(layer.bias.get(c), grids.size());
                }
                grids.add(layer.weight.grid(c));
            }
        }
        return new QuantizedConv2d(
                1,
                first.in,
                out,
                PackedCodes.pack(codes, first.codes.bits()),
                new UniformQuantizer(grids),
                first.activation,
                bias);
    }

    /** Refuses convolutions that packed kernels do not compute. */
    static void requireSupported(Conv2d conv) {
        int kernel = conv.weight().value().dim(0);
        if (conv.groups() != 1 || kernel % 2 == 0 || conv.padding() != kernel / 2) {
            throw new IllegalArgumentException("only convolutions with one group and \"same\" padding run packed, not "
                    + conv.groups() + " groups and padding " + conv.padding() + " for kernel " + kernel);
        }
    }

    @Override
    public Value forward(Value x) {
        return x.graph().apply(op(), x);
    }

    private QuantizedConv2dOp op() {
        return new QuantizedConv2dOp(packed, in, out);
    }

    /** What a linear layer computes. */
    @Override
    public @Nullable Part part(Value x) {
        return kernel == 1 ? new PackedLinears(List.of(op())) : null;
    }

    /** Returns the weight codes {@code [kernel, kernel, in, out]}. */
    public PackedCodes codes() {
        return codes;
    }

    /** Returns what the weight codes stand for. */
    public UniformQuantizer weight() {
        return weight;
    }

    /** Returns the weight as kernels take it. */
    QuantizedConvWeight prepared() {
        return prepared;
    }

    /** Returns the grid on which inputs are quantized. */
    public UniformGrid activation() {
        return activation;
    }

    /** Returns what is done to the channels of an input before, or null. */
    public @Nullable ChannelNormalization normalization() {
        return normalization;
    }

    @Override
    public @Nullable Tensor bias() {
        return bias;
    }

    /** Returns the kernel's edge. */
    public int kernel() {
        return kernel;
    }

    @Override
    public WeightFormat stored() {
        return stored == null ? new UniformWeight(Shape.of(kernel, kernel, in, out), codes, weight) : stored;
    }

    @Override
    public ActivationQuantizer input() {
        UniformQuantizer grid = UniformQuantizer.perTensor(activation);
        return normalization == null ? grid : new NormalizedQuantizer(normalization, grid);
    }
}
