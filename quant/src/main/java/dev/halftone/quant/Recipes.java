// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.quant.Recipe.Fidelity;
import dev.halftone.quant.calibration.Calibrator;
import dev.halftone.quant.calibration.Dobi;
import dev.halftone.quant.calibration.KlDivergence;
import dev.halftone.quant.calibration.MeanSquaredError;
import dev.halftone.quant.calibration.MinMax;
import dev.halftone.quant.calibration.Percentile;
import java.util.List;
import java.util.Optional;

/** The recipes that there are. */
public final class Recipes {
    private static final String DOBI_PAPER = "Liu et al., 2DQuant (NeurIPS 2024), algorithm 1";

    /** Steps of the default recipe: about a minute for EDSR with 8 blocks of 64 channels on two cores. */
    private static final long DEFAULT_STEPS = 120;

    private static final List<Recipe> ALL = List.of(
            new Recipe(
                    "dobi-distill",
                    DOBI_PAPER + "; short quantization-aware distillation of bounds and weights",
                    Fidelity.COMMON,
                    "DOBI bounds per output channel, then bounds and weights trained against the fp32 network",
                    List.of(
                            new CalibrateWeights(new Dobi(Dobi.Variant.AUTO), true),
                            new CalibrateActivations(new Dobi(Dobi.Variant.AUTO)),
                            new Distill(DEFAULT_STEPS, Distill.Trained.BOUNDS_AND_WEIGHTS))),
            forwardOnly(
                    "dobi",
                    DOBI_PAPER,
                    Fidelity.COMMON,
                    "DOBI bounds, per output channel for weights, one-sided where the data is",
                    new Dobi(Dobi.Variant.AUTO),
                    true),
            forwardOnly(
                    "dobi-paper",
                    DOBI_PAPER,
                    Fidelity.PAPER,
                    "DOBI as printed: per tensor; one-sided only where the network's structure says so",
                    new Dobi(Dobi.Variant.PAPER),
                    false),
            forwardOnly(
                    "dobi-released",
                    DOBI_PAPER,
                    Fidelity.CODE,
                    "DOBI as in the published code: per tensor, always symmetric",
                    new Dobi(Dobi.Variant.RELEASED),
                    false),
            forwardOnly(
                    "minmax",
                    "common baseline",
                    Fidelity.COMMON,
                    "the whole range, nothing clipped",
                    new MinMax(),
                    true),
            forwardOnly(
                    "percentile",
                    "common baseline",
                    Fidelity.COMMON,
                    "the range without its outermost 0.1 % on each side",
                    new Percentile(0.1),
                    true),
            forwardOnly(
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

    private Recipes() {}

    private static Recipe forwardOnly(
            String id, String paper, Fidelity fidelity, String summary, Calibrator calibrator, boolean perChannel) {
        return new Recipe(
                id,
                paper,
                fidelity,
                summary,
                List.of(new CalibrateWeights(calibrator, perChannel), new CalibrateActivations(calibrator)));
    }

    /** Returns all recipes; the first is the default. */
    public static List<Recipe> all() {
        return ALL;
    }

    /** Returns the recipe with this id, or empty. */
    public static Optional<Recipe> byId(String id) {
        return ALL.stream().filter(r -> r.id().equals(id)).findFirst();
    }
}
