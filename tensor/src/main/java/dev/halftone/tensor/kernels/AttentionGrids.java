// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Levels;

/**
 * The levels to which the operands of attention's two products are rounded.
 *
 * @param queries of queries after their multiplication by {@code depth^-1/2}
 * @param keys of keys
 * @param probabilities of what the softmax gives
 * @param values of values
 */
public record AttentionGrids(CodeSteps queries, CodeSteps keys, CodeSteps probabilities, CodeSteps values) {
    /** Prepares them. */
    public static AttentionGrids of(Levels queries, Levels keys, Levels probabilities, Levels values) {
        return new AttentionGrids(
                CodeSteps.of(queries), CodeSteps.of(keys), CodeSteps.of(probabilities), CodeSteps.of(values));
    }
}
