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

    /**
     * Computes each branch as one op, which is several times as fast as its layers one by one: few values leave the cache. Where a
     * layer was replaced by one that is no {@link BranchLayer}, for example one that observes, the branch is computed layer by layer; the
     * values are the same.
     */
    @Override
    public Value forward(Value x) {
        Value y = null;
        if (firstNorm.module() instanceof LayerNorm norm && attention.module() instanceof WindowAttention original) {
            y = original.branch(x, norm);
        }
        if (y == null) {
            y = x.add(attention.forward(firstNorm.forward(x)));
        }
        Value z = null;
        if (secondNorm.module() instanceof LayerNorm norm && mlp.module() instanceof Mlp original) {
            z = original.branch(y, norm);
        }
        return z == null ? y.add(mlp.forward(secondNorm.forward(y))) : z;
    }
}
