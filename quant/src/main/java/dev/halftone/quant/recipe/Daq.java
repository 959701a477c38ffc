// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Pass;
import dev.halftone.quant.Recipe;
import dev.halftone.quant.Recipe.Fidelity;
import dev.halftone.quant.calibration.GaussianStep;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.quant.pass.Distill;
import dev.halftone.quant.pass.DistributionAware;
import java.util.ArrayList;
import java.util.List;

/**
 * DAQ: grids from means and standard deviations, one for every input channel and one for every weight tensor, and training of the weights on
 * them. A style of it, as statistics are those of the calibration images ({@link DistributionAware}), and weights are quantized after the
 * steps of the channels were multiplied into them, which is how packed layers execute them.
 *
 * <p>The published code looks its steps up for one bit less than it has, so that they are wider than the best ones of the paper, used here.
 */
final class Daq {
    private static final String PAPER = "Hong et al., DAQ (WACV 2022)";
    private static final int DEVIATION_BITS = 4;
    private static final long STEPS = 200;

    private Daq() {}

    static List<Recipe> recipes() {
        List<Pass> passes = List.of(
                new CalibrateActivations(new GaussianStep()),
                new DistributionAware(DEVIATION_BITS),
                new CalibrateWeights(new GaussianStep(), false));
        List<Pass> tuned = new ArrayList<>(passes);
        tuned.add(new Distill(STEPS, Distill.Trained.WEIGHTS));
        return List.of(
                new Recipe(
                        "daq-style",
                        PAPER,
                        Fidelity.STYLE,
                        "a grid for every input channel from its mean and deviation, without search or training",
                        passes),
                new Recipe(
                        "daq-style-tuned",
                        PAPER,
                        Fidelity.STYLE,
                        "daq-style, then weights trained against the fp32 network on the grids as they are",
                        tuned));
    }
}
