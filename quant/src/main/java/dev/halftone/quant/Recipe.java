// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import java.util.List;

/**
 * A quantization algorithm as a list of passes.
 *
 * @param id what users call it
 * @param paper where it comes from
 * @param fidelity how close it is to that
 * @param summary one sentence
 * @param passes applied in this order
 */
public record Recipe(String id, String paper, Fidelity fidelity, String summary, List<Pass> passes) {
    /** How close a recipe is to its source. */
    public enum Fidelity {
        /** The paper's text. */
        PAPER,
        /** The authors' published code where it differs from the text. */
        CODE,
        /** A common technique without one defining paper, or one combined from several. */
        COMMON
    }

    /** Copies the list. */
    public Recipe {
        passes = List.copyOf(passes);
    }

    /** Returns whether a pass trains, so that its steps can be chosen. */
    public boolean trains() {
        return passes.stream().anyMatch(Distill.class::isInstance);
    }

    /** Returns the training steps of all passes, 0 where none trains. */
    public long steps() {
        return passes.stream()
                .mapToLong(pass -> pass instanceof Distill distill ? distill.steps() : 0)
                .sum();
    }

    /** Returns this recipe with another number of steps for the passes that train. */
    public Recipe withSteps(long steps) {
        return new Recipe(
                id,
                paper,
                fidelity,
                summary,
                passes.stream().map(pass -> pass.withSteps(steps)).toList());
    }

    /** Applies the passes; then {@link Quantization#pack} or {@link Quantization#simulate} puts the layers in place. */
    public void apply(Quantization run) {
        for (Pass pass : passes) {
            pass.apply(run);
        }
    }
}
