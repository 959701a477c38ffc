// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.nn.BranchLayer.Linears;
import dev.halftone.nn.BranchLayer.PackedLinears;
import dev.halftone.nn.BranchLayer.Products;
import dev.halftone.nn.op.AttentionBranchOp;
import dev.halftone.nn.op.PackedAttentionBranchOp;
import dev.halftone.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/**
 * Multi-head self-attention inside (shifted) windows (Liu et al. 2021, Swin Transformer): {@code [N, H, W, C]} to the same, where the
 * window divides H and W. Children {@code qkv}, {@code proj} and, without parameters, {@code products}; parameter
 * {@code relative_position_bias_table}.
 */
public final class WindowAttention extends Module {
    private static final double BIAS_DEVIATION = 0.02;

    private final Parameter biasTable;
    private final Child qkv;
    private final Child products;
    private final Child projection;

    /**
     * Creates the layer with zero weights.
     *
     * @param heads divides {@code channels}
     * @param window side of a window
     * @param shift 0 to {@code window - 1}
     */
    public WindowAttention(int channels, int heads, int window, int shift) {
        int entries = (2 * window - 1) * (2 * window - 1);
        biasTable = parameter("relative_position_bias_table", Tensor.zeros(entries, heads), Parameter.Layout.PLAIN);
        qkv = child("qkv", new Linear(channels, 3 * channels));
        products = child("products", new AttentionProducts(biasTable, heads, window, shift));
        projection = child("proj", new Linear(channels, channels));
    }

    /** Fills the bias table from a normal distribution of standard deviation 0.02, as the official code does. */
    public void initialize(RandomGenerator random) {
        Linear.fillNormal(biasTable.value(), BIAS_DEVIATION, random);
    }

    /** Returns {@code x + forward(norm(x))} as one op, or null where the layers in the slots do not allow it. */
    @Nullable
    Value branch(Value x, LayerNorm norm) {
        if (!(BranchLayer.of(products, x) instanceof Products p)) {
            return null;
        }
        BranchLayer.Part in = BranchLayer.of(qkv, x);
        BranchLayer.Part out = BranchLayer.of(projection, x);
        boolean quantized = p.attention().isQuantized();
        List<Value> operands =
                new ArrayList<>(List.of(x, norm.weight().in(x), norm.bias().in(x)));
        if (quantized && in instanceof PackedLinears(var projections) && out instanceof PackedLinears(var last)) {
            operands.addAll(p.others());
            return x.graph()
                    .apply(
                            new PackedAttentionBranchOp(LayerNorm.EPSILON, p.attention(), projections, last.getFirst()),
                            operands.toArray(Value[]::new));
        }
        if (in instanceof Linears i
                && out instanceof Linears o
                && (i.bounds() != null) == quantized
                && (o.bounds() != null) == quantized
                && (p.bounds() != null) == quantized) {
            operands.add(p.table());
            operands.addAll(o.weightsAndBiases());
            operands.addAll(i.weightsAndBiases());
            List<Integer> bits = new ArrayList<>(i.bits());
            bits.addAll(o.bits());
            if (i.bounds() != null && o.bounds() != null && p.bounds() != null) {
                operands.add(i.bounds().concat(0, o.bounds()));
                operands.add(p.bounds());
            }
            return x.graph()
                    .apply(
                            new AttentionBranchOp(LayerNorm.EPSILON, p.attention(), bits),
                            operands.toArray(Value[]::new));
        }
        return null;
    }

    @Override
    public Value forward(Value x) {
        return projection.forward(products.forward(qkv.forward(x)));
    }
}
