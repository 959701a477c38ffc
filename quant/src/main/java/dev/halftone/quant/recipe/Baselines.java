// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Recipe;
import dev.halftone.quant.Recipe.Fidelity;
import dev.halftone.quant.calibration.Calibrator;
import dev.halftone.quant.calibration.Dobi;
import dev.halftone.quant.calibration.KlDivergence;
import dev.halftone.quant.calibration.MeanSquaredError;
import dev.halftone.quant.calibration.MinMax;
import dev.halftone.quant.calibration.Percentile;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.CalibrateWeights;
import java.util.List;

/** Recipes that choose bounds and do no more. */
final class Baselines {
    private static final String DOBI = TwoDQuant.PAPER + ", algorithm 1";

    private Baselines() {}

    static List<Recipe> recipes() {
        return List.of(
                recipe(
                        "dobi",
                        DOBI,
                        Fidelity.COMMON,
                        "DOBI bounds, per output channel for weights, one-sided where the data is",
                        new Dobi(Dobi.Variant.AUTO),
                        true),
                recipe(
                        "dobi-paper",
                        DOBI,
                        Fidelity.PAPER,
                        "DOBI as printed: per tensor; one-sided only where the network's structure says so",
                        new Dobi(Dobi.Variant.PAPER),
                        false),
                recipe(
                        "dobi-released",
                        DOBI,
                        Fidelity.CODE,
                        "DOBI as in the published code: per tensor, always symmetric",
                        new Dobi(Dobi.Variant.RELEASED),
                        false),
                recipe(
                        "minmax",
                        "common baseline",
                        Fidelity.COMMON,
                        "the whole range, nothing clipped",
                        new MinMax(),
                        true),
                recipe(
                        "percentile",
                        "common baseline",
                        Fidelity.COMMON,
                        "the range without its outermost 0.1 % on each side",
                        new Percentile(0.1),
                        true),
                recipe(
                        "mse",
                        "OMSE as described by Hong and Lee, AdaBM (CVPR 2024)",
                        Fidelity.COMMON,
                        "bounds shrunk towards 0 to the least squared error",
                        new MeanSquaredError(90),
                        true),
                new Recipe(
                        "kl",
                        "entropy calibration, Migacz (GTC 2017)",
                        Fidelity.COMMON,
                        "activation bounds of least Kullback-Leibler divergence; weights by least squares",
                        List.of(
                                new CalibrateWeights(new MeanSquaredError(50), true),
                                new CalibrateActivations(new KlDivergence(100)))));
    }

    private static Recipe recipe(
            String id, String paper, Fidelity fidelity, String summary, Calibrator calibrator, boolean perChannel) {
        return new Recipe(
                id,
                paper,
                fidelity,
                summary,
                List.of(new CalibrateWeights(calibrator, perChannel), new CalibrateActivations(calibrator)));
    }
}
