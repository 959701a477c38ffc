// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Pass;
import dev.halftone.quant.Recipe;
import dev.halftone.quant.Recipe.Fidelity;
import dev.halftone.quant.calibration.Dobi;
import dev.halftone.quant.pass.Arb;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.FitBinaryCoding;
import dev.halftone.quant.pass.FitBinaryOutputs;
import dev.halftone.quant.pass.UniQuanF;
import java.util.List;

/** Weights as planes of signs, layer by layer; activations have the bounds of {@code dobi}. */
final class BinaryWeights {
    private static final String ARB = "Li et al., ARB-LLM (ICLR 2025)";

    /** Of the published code. */
    private static final int ROUNDS = 15;

    /** A few seconds for a layer of 64 x 64 channels on one core. */
    private static final int UPDATES = 200;

    private BinaryWeights() {}

    static List<Recipe> recipes() {
        return List.of(
                recipe(
                        "bcq",
                        "binary coding, as UniQuanF (Park et al., ACL 2025) begins",
                        Fidelity.COMMON,
                        "weights as sums of signed scales, fitted in turns by least squares; needs no data",
                        new FitBinaryCoding(ROUNDS)),
                recipe(
                        "bcq-gptq",
                        "binary coding with the feedback of GPTQ and the scales of ARB-X",
                        Fidelity.COMMON,
                        "the same, then signs and scales in turns by the error of the outputs on the calibration images",
                        new FitBinaryOutputs(ROUNDS, 3, 0.01)),
                recipe(
                        "uniquanf-style",
                        "Park et al., UniQuanF (ACL 2025)",
                        Fidelity.STYLE,
                        "binary coding trained like uniform grids, against the outputs of each layer on the calibration images",
                        new UniQuanF(ROUNDS, UPDATES, 5e-3, 5e-4)),
                recipe(
                        "arb",
                        ARB,
                        Fidelity.CODE,
                        "planes of signs whose offset, scales and signs are refined in turns; needs no data",
                        new Arb(Arb.Form.ROWS, ROUNDS)),
                recipe(
                        "arb-x",
                        ARB + ", ARB-X",
                        Fidelity.CODE,
                        "the same, then offset and scales by the error of the outputs on the calibration images",
                        new Arb(Arb.Form.OUTPUTS, ROUNDS)),
                recipe(
                        "arb-rc",
                        ARB + ", ARB-RC",
                        Fidelity.CODE,
                        "planes of signs with a scale for each output and one for each input; needs no data",
                        new Arb(Arb.Form.ROWS_AND_COLUMNS, ROUNDS)),
                recipe(
                        "arb-rc-cgb",
                        ARB + ", ARB-RC with column-group bitmap",
                        Fidelity.CODE,
                        "the same with a plane more for salient channels and scales apart for large and small weights",
                        new Arb(Arb.Form.GROUPS, ROUNDS)));
    }

    private static Recipe recipe(String id, String paper, Fidelity fidelity, String summary, Pass weights) {
        return new Recipe(
                id, paper, fidelity, summary, List.of(new CalibrateActivations(new Dobi(Dobi.Variant.AUTO)), weights));
    }
}
