// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import dev.halftone.nn.Child;
import dev.halftone.nn.Module;
import dev.halftone.nn.Value;
import dev.halftone.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** Keeps what the module that it wraps returned. */
final class Recorder extends Module {
    private final Child inner;
    private @Nullable Value output;

    private Recorder(Module module) {
        inner = child("inner", module);
    }

    /** Wraps every module of a network; parents come first, so a slot inside a block is wrapped inside its wrapped block. */
    static Map<String, Recorder> wrap(Module network) {
        Map<String, Recorder> recorders = new LinkedHashMap<>();
        network.descendants().forEach((name, slot) -> {
            Recorder recorder = new Recorder(slot.module());
            slot.replace(recorder);
            recorders.put(name, recorder);
        });
        return recorders;
    }

    @Override
    public Value forward(Value x) {
        Value y = inner.forward(x);
        output = y;
        return y;
    }

    Tensor seen() {
        return Objects.requireNonNull(output).tensor();
    }
}
