// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.nn.op.QuantizedConv2dOp;
import dev.halftone.nn.op.WindowAttentionOp;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A layer that can be computed together with the others of a branch of a {@link SwinBlock}, as one op. */
public interface BranchLayer {
    /** What such a layer computes. */
    sealed interface Part {}

    /**
     * Linear layers beside each other, whose outputs follow each other.
     *
     * @param weightsAndBiases a weight {@code [in, out]} and a bias {@code [out]} for each
     * @param bits of the inputs, one for each; empty where they are not quantized
     * @param bounds of the inputs, {@code [.., 2]}; null where they are not quantized
     */
    record Linears(
            List<Value> weightsAndBiases,
            List<Integer> bits,
            @Nullable Value bounds) implements Part {
        /** Copies the lists. */
        public Linears {
            weightsAndBiases = List.copyOf(weightsAndBiases);
            bits = List.copyOf(bits);
        }
    }

    /** Linear layers beside each other on packed codes. */
    record PackedLinears(List<QuantizedConv2dOp> layers) implements Part {
        /** Copies the list. */
        public PackedLinears {
            layers = List.copyOf(layers);
        }
    }

    /**
     * The products of attention.
     *
     * @param table of relative positions
     * @param bounds {@code [4, 2]}; null where operands are not quantized, or on levels that the op has
     */
    record Products(
            WindowAttentionOp attention,
            Value table,
            @Nullable Value bounds) implements Part {
        /** Computes the products alone, from {@code [N, H, W, 3 C]}. */
        public Value forward(Value qkv) {
            List<Value> operands = new ArrayList<>(List.of(qkv));
            operands.addAll(others());
            return qkv.graph().apply(attention, operands.toArray(Value[]::new));
        }

        List<Value> others() {
            return bounds == null ? List.of(table) : List.of(table, bounds);
        }
    }

    /** Returns what this layer computes, in the graph of {@code x}; or null if it is only computed on its own. */
    @Nullable
    Part part(Value x);

    /** Returns the part of the layer in a slot, or null if that is only computed on its own. */
    static @Nullable Part of(Child slot, Value x) {
        return slot.module() instanceof BranchLayer layer ? layer.part(x) : null;
    }
}
