// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Pass;
import dev.halftone.quant.Recipe;
import dev.halftone.quant.calibration.MinMax;
import dev.halftone.quant.format.BoundForm;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.quant.pass.ConstrainBounds;
import dev.halftone.quant.pass.Distill;
import dev.halftone.quant.pass.Distill.Trained;
import dev.halftone.quant.pass.Equalize;
import dev.halftone.quant.pass.TrackActivations;
import java.util.List;

/**
 * PassionSR's learnable boundary quantizer (LBQ): both bounds are trained, and 0 is kept on the grid; weights per output channel, inputs per
 * tensor, beginning at min-max. With its learnable equivalent transformation (LET) the channels of inputs are shifted and scaled where
 * they are quantized, and weights are scaled against it: trained first, and then the bounds.
 *
 * <p>The paper quantizes a diffusion network to 8 and 6 bits, biases too, and trains two epochs of single images at a rate of 1e-5 on the
 * squared error; here biases stay fp32, steps are relative to the distance of bounds, and the error is absolute, as in all recipes.
 */
final class PassionSr {
    private static final String PAPER = "Zhu et al., PassionSR (CVPR 2025)";
    /** Of each training. */
    private static final long STEPS = 100;
    /** How much of the differences between channels moves to the weights at first; of the published configuration. */
    private static final double ALPHA = 0.3;

    /** Of the averaged bounds, per image. */
    private static final double DECAY = 0.95;

    private PassionSr() {}

    static List<Recipe> recipes() {
        return List.of(
                new Recipe(
                        "passionsr",
                        PAPER,
                        Recipe.Fidelity.CODE,
                        "channels shifted and scaled where they are quantized, which is trained, and then bounds with 0 on the grid",
                        List.of(
                                new Equalize(ALPHA),
                                new CalibrateWeights(new MinMax(), true),
                                new TrackActivations(DECAY),
                                new ConstrainBounds(BoundForm.THROUGH_ZERO, BoundForm.THROUGH_ZERO),
                                distill(Trained.NORMALIZATIONS),
                                distill(Trained.BOUNDS))),
                new Recipe(
                        "passionsr-lbq",
                        PAPER + ", learnable boundary quantizer",
                        Recipe.Fidelity.CODE,
                        "bounds with 0 on the grid, from min-max, trained against the fp32 network",
                        List.of(
                                new CalibrateWeights(new MinMax(), true),
                                new TrackActivations(DECAY),
                                new ConstrainBounds(BoundForm.THROUGH_ZERO, BoundForm.THROUGH_ZERO),
                                distill(Trained.BOUNDS))));
    }

    private static Pass distill(Trained trained) {
        return new Distill(STEPS, trained);
    }
}
