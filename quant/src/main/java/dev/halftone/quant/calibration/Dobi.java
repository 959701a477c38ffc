// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.calibration;

import dev.halftone.tensor.UniformGrid;

/**
 * Distribution-oriented bound initialisation (2DQuant, Liu et al. 2024, algorithm 1): the range of least squared error among
 * {@code K} candidates {@code i = 0 .. K - 1}. For {@code m = min}, {@code M = max} they are
 *
 * <ul>
 *   <li>symmetric, {@code [m + i d, M - i d]} with {@code d = (M - m) / (2K)}: for bell shapes;
 *   <li>one-sided, {@code [m, M - i d]} with {@code d = (M - m) / K}: for a fixed minimum and one long tail (or mirrored).
 * </ul>
 *
 * <p>The algorithm as printed has {@code d = (M - m) / (2K)} in both cases, which would stop the one-sided search at half of
 * the range; the published code has the steps above.
 *
 * @param variant when the search is one-sided
 * @param candidates {@code K}; 100 in the paper
 */
public record Dobi(Variant variant, int candidates) implements Calibrator {
    /** When the search is one-sided. */
    public enum Variant {
        /** Where the place in the network says so: for SwinIR softmax outputs and GELU outputs. */
        PAPER,
        /** Never, as in the published code, in which nothing switches the one-sided search on. */
        RELEASED,
        /** Where the data says so, by {@link Tails#of}. */
        AUTO
    }

    /** Checks the number of candidates. */
    public Dobi {
        if (candidates < 1) {
            throw new IllegalArgumentException("candidates must be at least 1, not " + candidates);
        }
    }

    /** Creates the search with the paper's 100 candidates. */
    public Dobi(Variant variant) {
        this(variant, 100);
    }

    @Override
    public String id() {
        return switch (variant) {
            case PAPER -> "dobi-paper";
            case RELEASED -> "dobi-released";
            case AUTO -> "dobi";
        };
    }

    @Override
    public UniformGrid calibrate(Distribution values, int bits, Tails tails) {
        float min = values.min();
        float max = values.max();
        Tails moving = switch (variant) {
            case PAPER -> tails;
            case RELEASED -> Tails.BOTH;
            case AUTO -> Tails.of(min, max);
        };
        return Sweep.argmin(bits, candidates, i -> bounds(min, max, moving, i), values::squaredError);
    }

    /** Returns candidate {@code i}, computed in float32 like the published code. */
    float[] bounds(float min, float max, Tails moving, int i) {
        float d = (max - min) / (moving == Tails.BOTH ? 2 * candidates : candidates);
        return new float[] {moving == Tails.UPPER ? min : min + i * d, moving == Tails.LOWER ? max : max - i * d};
    }
}
