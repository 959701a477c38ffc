// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

/**
 * A Swin Transformer block (Liu et al. 2021, figure 3b) over {@code [N, H, W, C]}: {@code x + attn(norm1(x))}, and of that
 * {@code y + mlp(norm2(y))}.
 */
public final class SwinBlock extends Module {
    private final Child firstNorm;
    private final Child attention;
    private final Child secondNorm;
    private final Child mlp;

    /**
     * Creates the block with zero weights.
     *
     * @param heads of attention
     * @param window side of a window
     * @param shift 0 to {@code window - 1}
     * @param hidden channels inside the perceptron
     */
    public SwinBlock(int channels, int heads, int window, int shift, int hidden) {
        firstNorm = child("norm1", new LayerNorm(channels));
        attention = child("attn", new WindowAttention(channels, heads, window, shift));
        secondNorm = child("norm2", new LayerNorm(channels));
        mlp = child("mlp", new Mlp(channels, hidden));
    }

    @Override
    public Value forward(Value x) {
        Value y = x.add(attention.forward(firstNorm.forward(x)));
        return y.add(mlp.forward(secondNorm.forward(y)));
    }
}
