// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.AttentionProducts;
import dev.halftone.nn.BranchLayer;
import dev.halftone.nn.Module;
import dev.halftone.nn.Value;
import dev.halftone.nn.op.Windows;
import dev.halftone.tensor.Levels;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.List;

/**
 * The products of attention inside windows on quantized operands, see {@link AttentionProducts}: {@code [N, H, W, 3 C]} to {@code [N, H,
 * W, C]}. It runs in fp32 on the levels that codes stand for.
 */
public final class QuantizedAttention extends Module implements BranchLayer {
    /** Queries after their multiplication by {@code depth^-1/2}, keys, probabilities, values. */
    static final List<String> INPUTS = List.of("q", "k", "a", "v");

    private static final int QUERIES = 0;
    private static final int KEYS = 1;
    private static final int PROBABILITIES = 2;
    private static final int VALUES = 3;

    private final AttentionProducts products;
    private final List<Levels> inputs;

    /** Creates the layer with the levels of queries, keys, probabilities and values. */
    QuantizedAttention(AttentionProducts products, List<Levels> inputs) {
        this.products = products;
        this.inputs = List.copyOf(inputs);
    }

    /** Returns the levels of queries, keys, probabilities and values. */
    public List<Levels> inputs() {
        return inputs;
    }

    @Override
    public Products part(Value x) {
        if (!inputs.stream().allMatch(UniformGrid.class::isInstance)) {
            return products.rounded(x, inputs);
        }
        Tensor bounds = Tensor.zeros(inputs.size(), 2);
        for (int i = 0; i < inputs.size(); i++) {
            bounds.set(inputs.get(i).lower(), i, 0);
            bounds.set(inputs.get(i).upper(), i, 1);
        }
        return products.quantized(
                inputs.stream().map(Levels::bits).toList(), x.graph().constant(bounds));
    }

    @Override
    public Value forward(Value x) {
        return part(x).forward(x);
    }

    /** Computes attention in elementary ops on other operands. */
    static Value forward(Value x, AttentionProducts products, QuantizableLayer.Operands operands) {
        Shape shape = x.shape();
        int heads = products.heads();
        int window = products.window();
        int shift = products.shift();
        int pixels = window * window;
        int channels = shape.dim(3) / 3;
        int depth = channels / heads;
        Value rolled = shift == 0 ? x : x.roll(-shift, -shift);
        Value tokens = rolled.windowPartition(window);
        int windows = tokens.shape().dim(0);
        Value qkv = tokens.reshape(windows, pixels, 3, heads, depth).permute(2, 0, 3, 1, 4);
        Value[] part = new Value[3];
        for (int i = 0; i < 3; i++) {
            part[i] = qkv.slice(0, i, i + 1).reshape(windows, heads, pixels, depth);
        }
        Value q = operands.input(QUERIES, part[0].scale((float) (1 / Math.sqrt(depth))));
        Value k = operands.input(KEYS, part[1]);
        Value scores = q.matmulTransposed(k).add(x.graph().constant(bias(products, shape)));
        Value probabilities = operands.input(PROBABILITIES, scores.softmax(-1));
        Value y = probabilities.matmul(operands.input(VALUES, part[2]));
        Value map = y.permute(0, 2, 1, 3)
                .reshape(windows, window, window, channels)
                .windowReverse(window, shape.dim(1), shape.dim(2));
        return shift == 0 ? map : map.roll(shift, shift);
    }

    /** Returns what is added to the scores: {@code [heads, pixels, pixels]}, or {@code [windows, ...]} where windows differ by a mask. */
    private static Tensor bias(AttentionProducts products, Shape x) {
        int heads = products.heads();
        int window = products.window();
        int pixels = window * window;
        int[][] index = Windows.relativePositionIndex(window);
        Tensor table = products.biasTable().value();
        Tensor bias = Tensor.zeros(heads, pixels, pixels);
        for (int h = 0; h < heads; h++) {
            for (int i = 0; i < pixels; i++) {
                for (int j = 0; j < pixels; j++) {
                    bias.set(table.get(index[i][j], h), h, i, j);
                }
            }
        }
        if (products.shift() == 0) {
            return bias;
        }
        Tensor mask = Windows.shiftMask(x.dim(1), x.dim(2), window, products.shift());
        int perImage = mask.dim(0);
        Tensor both = Tensor.zeros(x.dim(0) * perImage, heads, pixels, pixels);
        int square = pixels * pixels;
        for (int i = 0; i < both.size(); i++) {
            int at = i / square / heads % perImage * square + i % square;
            both.array()[i] = bias.array()[i % bias.size()] + mask.array()[at];
        }
        return both;
    }
}
