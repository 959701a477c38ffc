// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Recipe;
import dev.halftone.quant.Recipe.Fidelity;
import dev.halftone.quant.calibration.Dobi;
import dev.halftone.quant.calibration.LearnedStep;
import dev.halftone.quant.calibration.LearnedStep.Start;
import dev.halftone.quant.calibration.MeanSquaredError;
import dev.halftone.quant.format.BoundForm;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.quant.pass.ConstrainBounds;
import dev.halftone.quant.pass.Distill;
import dev.halftone.quant.pass.Distill.Trained;
import java.util.List;

/**
 * LSQ: one step size per tensor, learned together with the weights; LSQ+: activations have a learned zero point too; PACT: the upper bound of
 * activations is learned from clipped values. The papers train for epochs against labels; here a short training follows the fp32 network's answers. Their factor on the gradient of steps is one that
 * Adam takes out again; steps are relative to the distance of bounds, as in all recipes.
 */
final class Lsq {
    private static final long STEPS = 400;

    private Lsq() {}

    static List<Recipe> recipes() {
        LearnedStep lsq = new LearnedStep(Start.MEAN_MAGNITUDE);
        LearnedStep plus = new LearnedStep(Start.THREE_DEVIATIONS);
        return List.of(
                new Recipe(
                        "lsq",
                        "Esser et al., Learned Step Size Quantization (ICLR 2020)",
                        Fidelity.CODE,
                        "one step per tensor, weights and steps trained against the fp32 network",
                        List.of(
                                new CalibrateWeights(lsq, false),
                                new CalibrateActivations(lsq),
                                new ConstrainBounds(BoundForm.ONE_STEP, BoundForm.ONE_STEP),
                                new Distill(STEPS, Trained.BOUNDS_AND_WEIGHTS))),
                new Recipe(
                        "lsq-plus",
                        "Bhalgat et al., LSQ+ (CVPR workshops 2020)",
                        Fidelity.CODE,
                        "as lsq, with a zero point for activations that is trained too",
                        List.of(
                                new CalibrateWeights(plus, false),
                                new CalibrateActivations(new MeanSquaredError(90)),
                                new ConstrainBounds(BoundForm.SYMMETRIC, BoundForm.THROUGH_ZERO),
                                new Distill(STEPS, Trained.BOUNDS_AND_WEIGHTS))),
                new Recipe(
                        "pact-style",
                        "Choi et al., PACT (2018)",
                        Fidelity.STYLE,
                        "activations clipped at a bound that clipped values alone train, and that shrinks meanwhile",
                        List.of(
                                new CalibrateWeights(new MeanSquaredError(90), false),
                                new CalibrateActivations(new Dobi(Dobi.Variant.AUTO)),
                                new ConstrainBounds(BoundForm.SYMMETRIC, BoundForm.CLIPPED),
                                new Distill(STEPS, Trained.BOUNDS_AND_WEIGHTS))));
    }
}
