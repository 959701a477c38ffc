// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.Child;
import dev.halftone.nn.Module;
import dev.halftone.nn.Value;
import org.jspecify.annotations.Nullable;

/** Sits in the place of a layer or block, runs it, and lets its last output be seen. */
public final class Tap extends Module {
    private final Child slot;
    private final Child inner;
    private @Nullable Value output;

    private Tap(Child slot) {
        this.slot = slot;
        this.inner = child("inner", slot.module());
    }

    /** Takes the place of the module in a slot. */
    public static Tap on(Child slot) {
        Tap tap = new Tap(slot);
        slot.replace(tap);
        return tap;
    }

    @Override
    public Value forward(Value x) {
        Value y = inner.forward(x);
        output = y;
        return y;
    }

    /** Returns the output of the last run. */
    public Value output() {
        if (output == null) {
            throw new IllegalStateException("the network did not run one of its blocks");
        }
        return output;
    }

    /** Gives the place back. */
    public void remove() {
        slot.replace(inner.module());
    }
}
