// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.BranchLayer;
import dev.halftone.nn.Module;
import dev.halftone.nn.Value;
import dev.halftone.quant.format.ActivationQuantizer;
import dev.halftone.quant.format.FullPrecision;
import dev.halftone.quant.format.NormalizedQuantizer;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.quant.format.WeightFormat;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A convolution (stride 1, "same" padding, one group) or linear layer whose weight is stored quantized and computed with in fp32, on an
 * input in fp32 or rounded to its levels: for weights that no packed kernel takes, and where inputs are not quantized. It is small in
 * a file and as fast as in fp32. It has no parameters to train.
 */
public final class DequantizedLayer extends Module implements BranchLayer, QuantizedLayer {
    private final WeightFormat stored;
    private final ActivationQuantizer input;
    private final Tensor weight;
    private final @Nullable Tensor bias;

    /**
     * Creates the layer.
     *
     * @param stored a weight {@code [k, k, in, out]} or {@code [in, out]}; where channels are normalised, that of the normalised input
     * @param bias {@code [out]}, or null
     */
    public DequantizedLayer(WeightFormat stored, ActivationQuantizer input, @Nullable Tensor bias) {
        this.stored = stored;
        this.input = input;
        this.bias = bias;
        weight = stored.dequantize();
        if (input instanceof NormalizedQuantizer(var normalization, ActivationQuantizer _)) {
            int out = weight.dim(-1);
            for (int i = 0; i < weight.size(); i++) {
                weight.array()[i] *= normalization.gain().get(i / out % normalization.channels());
            }
        }
    }

    @Override
    public Value forward(Value x) {
        Value w = x.graph().constant(weight);
        Value b = bias == null ? null : x.graph().constant(bias);
        Value y = input.apply(x);
        return isLinear() ? y.linear(w, b) : y.conv2d(w, b, weight.dim(0) / 2, 1);
    }

    private boolean isLinear() {
        return weight.shape().rank() == 2;
    }

    /** What a linear layer computes, if its input is quantized on one grid or not at all. */
    @Override
    public @Nullable Part part(Value x) {
        if (!isLinear() || bias == null) {
            return null;
        }
        List<Value> layer = List.of(x.graph().constant(weight), x.graph().constant(bias));
        return switch (input) {
            case FullPrecision _ -> new Linears(layer, List.of(), null);
            case NormalizedQuantizer(var _, FullPrecision _) -> new Linears(layer, List.of(), null);
            case UniformQuantizer grid
            when grid.isPerTensor() -> {
                Tensor bounds = Tensor.wrap(
                        new float[] {grid.grid(0).lower(), grid.grid(0).upper()}, 0, Shape.of(1, 2));
                yield new Linears(layer, List.of(grid.bits()), x.graph().constant(bounds));
            }
            default -> null;
        };
    }

    @Override
    public WeightFormat stored() {
        return stored;
    }

    @Override
    public ActivationQuantizer input() {
        return input;
    }

    @Override
    public @Nullable Tensor bias() {
        return bias;
    }
}
