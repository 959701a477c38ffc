// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

/** One step of a recipe. Passes see sites and calibration data, never a particular network. */
public interface Pass {
    /** Returns the name that users see, for example {@code calibrate-weights(dobi, per-channel)}. */
    String id();

    /** Returns the training steps, 0 where it does not train. */
    default long steps() {
        return 0;
    }

    /** Returns this pass with another number of training steps; itself where it does not train. */
    default Pass withSteps(long steps) {
        return this;
    }

    /** Returns whether it shares a budget of bits among layers. */
    default boolean allocates() {
        return false;
    }

    /**
     * Returns this pass with another budget; itself where it shares none.
     *
     * @param bits of a weight on average, its share of all bounds included
     */
    default Pass withTarget(double bits) {
        return this;
    }

    /** Does the step. */
    void apply(Quantization run);
}
