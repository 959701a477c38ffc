// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.nn.BranchLayer.Linears;
import dev.halftone.nn.BranchLayer.PackedLinears;
import dev.halftone.nn.op.MlpBranchOp;
import dev.halftone.nn.op.PackedMlpBranchOp;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The multi-layer perceptron of transformers, {@code fc2(gelu(fc1(x)))} over the innermost dimension. */
public final class Mlp extends Module {
    private final Child first;
    private final Child second;

    /** Creates the layers with zero weights. */
    public Mlp(int channels, int hidden) {
        first = child("fc1", new Linear(channels, hidden));
        second = child("fc2", new Linear(hidden, channels));
    }

    /** Returns {@code x + forward(norm(x))} as one op, or null where the layers in the slots do not allow it. */
    @Nullable
    Value branch(Value x, LayerNorm norm) {
        List<Value> operands =
                new ArrayList<>(List.of(x, norm.weight().in(x), norm.bias().in(x)));
        BranchLayer.Part one = BranchLayer.of(first, x);
        BranchLayer.Part two = BranchLayer.of(second, x);
        if (one instanceof PackedLinears(var in) && two instanceof PackedLinears(var out)) {
            return x.graph()
                    .apply(
                            new PackedMlpBranchOp(LayerNorm.EPSILON, in.getFirst(), out.getFirst()),
                            operands.toArray(Value[]::new));
        }
        if (one instanceof Linears in
                && two instanceof Linears out
                && (in.bounds() == null) == (out.bounds() == null)) {
            operands.addAll(in.weightsAndBiases());
            operands.addAll(out.weightsAndBiases());
            List<Integer> bits = new ArrayList<>(in.bits());
            bits.addAll(out.bits());
            if (in.bounds() != null && out.bounds() != null) {
                operands.add(in.bounds().concat(0, out.bounds()));
            }
            return x.graph().apply(new MlpBranchOp(LayerNorm.EPSILON, bits), operands.toArray(Value[]::new));
        }
        return null;
    }

    @Override
    public Value forward(Value x) {
        return second.forward(first.forward(x).gelu());
    }
}
