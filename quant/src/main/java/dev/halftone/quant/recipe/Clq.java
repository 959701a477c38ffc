// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Recipe;
import dev.halftone.quant.Recipe.Fidelity;
import dev.halftone.quant.calibration.Dobi;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.CalibrateSequentially;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.quant.pass.RotateOutliers;
import dev.halftone.quant.pass.SearchBounds;
import java.util.List;

/**
 * CLQ: calibration on what quantized layers compute, a search for bounds by the answers of blocks, and a rotation that deals outliers to
 * blocks of channels. Of the paper, which quantizes diffusion transformers to 4 bits, only the abstract was at hand. The rotation is a recipe
 * of its own, since its blocks cannot be compared with the fp32 network's.
 */
final class Clq {
    private static final String PAPER =
            "CLQ: cross-layer guided orthogonal-based quantization for diffusion transformers (2025)";
    private static final int ROUNDS = 1;
    /** Channels, of the 16 to 64 that were thought of for networks of hundreds. */
    private static final int BLOCK = 16;

    private Clq() {}

    static List<Recipe> recipes() {
        Dobi dobi = new Dobi(Dobi.Variant.AUTO);
        return List.of(
                new Recipe(
                        "clq-style",
                        PAPER,
                        Fidelity.STYLE,
                        "DOBI on what the quantized layers before compute, then bounds searched by what blocks answer",
                        List.of(
                                new CalibrateWeights(dobi, true),
                                new CalibrateSequentially(dobi),
                                new SearchBounds(ROUNDS))),
                new Recipe(
                        "clq-rotated-style",
                        PAPER,
                        Fidelity.STYLE,
                        "the residual stream rotated in blocks of channels with equally many outliers each, then DOBI",
                        List.of(
                                new RotateOutliers(BLOCK),
                                new CalibrateWeights(dobi, true),
                                new CalibrateActivations(dobi))));
    }
}
