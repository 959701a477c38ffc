// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.nn.op.WindowAttentionOp;
import dev.halftone.tensor.Levels;
import java.util.List;

/**
 * The two matrix products of attention inside windows with the softmax between them: {@code [N, H, W, 3 C]} of queries, keys and values
 * to {@code [N, H, W, C]}. A module of its own, because its operands (queries, keys, probabilities, values) can be quantized.
 */
public final class AttentionProducts extends Module implements BranchLayer {
    private final Parameter biasTable;
    private final int heads;
    private final int window;
    private final int shift;

    AttentionProducts(Parameter biasTable, int heads, int window, int shift) {
        this.biasTable = biasTable;
        this.heads = heads;
        this.window = window;
        this.shift = shift;
    }

    /** Returns the relative position bias table {@code [(2 window - 1)^2, heads]}, a parameter of the {@link WindowAttention} around. */
    public Parameter biasTable() {
        return biasTable;
    }

    /** Returns the number of heads. */
    public int heads() {
        return heads;
    }

    /** Returns the side of a window. */
    public int window() {
        return window;
    }

    /** Returns by how much the windows are shifted in both directions. */
    public int shift() {
        return shift;
    }

    @Override
    public Products part(Value x) {
        return new Products(new WindowAttentionOp(heads, window, shift), biasTable.in(x), null);
    }

    /**
     * Returns the products on quantized operands.
     *
     * @param bits of queries (multiplied by {@code depth^-1/2}), keys, probabilities and values
     * @param bounds {@code [4, 2]}
     */
    public Products quantized(List<Integer> bits, Value bounds) {
        return new Products(new WindowAttentionOp(heads, window, shift, bits), biasTable.in(bounds), bounds);
    }

    /**
     * Returns the products on operands that are rounded to levels.
     *
     * @param x whose graph it is in
     * @param levels of queries (multiplied by {@code depth^-1/2}), keys, probabilities and values
     */
    public Products rounded(Value x, List<Levels> levels) {
        return new Products(new WindowAttentionOp(heads, window, shift, List.of(), levels), biasTable.in(x), null);
    }

    @Override
    public Value forward(Value qkv) {
        return part(qkv).forward(qkv);
    }
}
