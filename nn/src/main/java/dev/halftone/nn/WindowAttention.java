// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.tensor.Tensor;
import java.util.random.RandomGenerator;

/**
 * Multi-head self-attention inside (shifted) windows (Liu et al. 2021, Swin Transformer): {@code [N, H, W, C]} to the same, where the
 * window divides H and W. Children {@code qkv}, {@code proj} and, without parameters, {@code products}; parameter
 * {@code relative_position_bias_table}.
 */
public final class WindowAttention extends Module {
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

    /** Fills the bias table like a {@link Linear linear layer's} weight. */
    public void initialize(RandomGenerator random) {
        Linear.fillNormal(biasTable.value(), random);
    }

    @Override
    public Value forward(Value x) {
        return projection.forward(products.forward(qkv.forward(x)));
    }
}
