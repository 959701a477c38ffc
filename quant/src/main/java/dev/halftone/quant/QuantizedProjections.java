// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.Child;
import dev.halftone.nn.Module;
import dev.halftone.nn.Value;

/** Queries, keys and values by three packed layers {@code q}, {@code k} and {@code v}: {@code [N, H, W, C]} to {@code [N, H, W, 3 C]}. */
final class QuantizedProjections extends Module {
    private final Child queries;
    private final Child keys;
    private final Child values;

    QuantizedProjections(QuantizedConv2d queries, QuantizedConv2d keys, QuantizedConv2d values) {
        this.queries = child("q", queries);
        this.keys = child("k", keys);
        this.values = child("v", values);
    }

    @Override
    public Value forward(Value x) {
        return queries.forward(x).concat(-1, keys.forward(x), values.forward(x));
    }
}
