// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.BranchLayer;
import dev.halftone.nn.Child;
import dev.halftone.nn.Module;
import dev.halftone.nn.Value;
import dev.halftone.nn.op.QuantizedConv2dOp;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Queries, keys and values by three quantized layers {@code q}, {@code k} and {@code v}: {@code [N, H, W, C]} to {@code [N, H, W, 3 C]}. */
final class QuantizedProjections extends Module implements BranchLayer {
    private final Child queries;
    private final Child keys;
    private final Child values;

    QuantizedProjections(Module queries, Module keys, Module values) {
        this.queries = child("q", queries);
        this.keys = child("k", keys);
        this.values = child("v", values);
    }

    /** One packed layer for all three where their inputs have the same codes, else three; or three in fp32. */
    @Override
    public @Nullable Part part(Value x) {
        Part packed = packed(x);
        return packed == null ? linears(x) : packed;
    }

    private @Nullable Part linears(Value x) {
        List<Value> weightsAndBiases = new ArrayList<>();
        List<Integer> bits = new ArrayList<>();
        List<Value> bounds = new ArrayList<>();
        for (Child slot : List.of(queries, keys, values)) {
            if (!(BranchLayer.of(slot, x) instanceof Linears one)) {
                return null;
            }
            weightsAndBiases.addAll(one.weightsAndBiases());
            bits.addAll(one.bits());
            if (one.bounds() != null) {
                bounds.add(one.bounds());
            }
        }
        return switch (bounds.size()) {
            case 0 -> new Linears(weightsAndBiases, List.of(), null);
            case 3 -> new Linears(weightsAndBiases, bits, bounds.get(0).concat(0, bounds.get(1), bounds.get(2)));
            default -> null;
        };
    }

    private @Nullable Part packed(Value x) {
        List<QuantizedConv2d> layers = new ArrayList<>();
        for (Child slot : List.of(queries, keys, values)) {
            if (!(slot.module() instanceof QuantizedConv2d layer)) {
                return null;
            }
            layers.add(layer);
        }
        QuantizedConv2d all = QuantizedConv2d.beside(layers);
        List<QuantizedConv2dOp> ops = new ArrayList<>();
        for (QuantizedConv2d layer : all == null ? layers : List.of(all)) {
            if (!(layer.part(x) instanceof PackedLinears(var one))) {
                return null;
            }
            ops.addAll(one);
        }
        return new PackedLinears(ops);
    }

    @Override
    public Value forward(Value x) {
        return queries.forward(x).concat(-1, keys.forward(x), values.forward(x));
    }
}
