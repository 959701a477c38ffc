// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import java.time.Duration;

/** A pass that trains, and can tell how long it takes. */
public interface Training extends Pass {
    /**
     * What training takes.
     *
     * @param step seconds of a step
     * @param once seconds of all else
     */
    record Cost(double step, double once) {}

    /** Returns what this pass costs on the machine as it is now; it spends about {@code limit} on finding out. */
    Cost cost(Quantization run, Duration limit);
}
