// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.recipe;

import dev.halftone.quant.Pass;
import dev.halftone.quant.Recipe;
import dev.halftone.quant.Recipe.Fidelity;
import dev.halftone.quant.calibration.Dobi;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.quant.pass.Reconstruct;
import dev.halftone.quant.pass.Reconstruct.Learned;
import dev.halftone.quant.pass.Reconstruct.Part;
import java.util.ArrayList;
import java.util.List;

/**
 * Methods that train one layer or block at a time to answer as in the fp32 network. Bounds begin at DOBI's, and inputs are quantized while
 * weights are learned; published steps are some ten thousands for each block, here as many as there is time for.
 */
final class Reconstructed {
    private static final long STEPS = 800;
    /** Of elements that stay unquantized in QDrop. */
    private static final double DROP = 0.5;

    private Reconstructed() {}

    static List<Recipe> recipes() {
        return List.of(
                recipe(
                        "adaround",
                        "Nagel et al., AdaRound (ICML 2020)",
                        Fidelity.CODE,
                        "DOBI bounds, then whether each weight is rounded up or down is learned, layer by layer",
                        new Reconstruct(STEPS, Part.LAYER, Learned.ROUNDING, false, 0, false, 0)),
                recipe(
                        "brecq",
                        "Li et al., BRECQ (ICLR 2021)",
                        Fidelity.CODE,
                        "DOBI bounds, then roundings are learned block by block, and after them the bounds of inputs",
                        new Reconstruct(STEPS * 3 / 4, Part.BLOCK, Learned.ROUNDING, false, 0, false, 0),
                        new Reconstruct(STEPS / 4, Part.BLOCK, Learned.NOTHING, true, 0, false, 0)),
                recipe(
                        "brecq-fisher",
                        "Li et al., BRECQ (ICLR 2021)",
                        Fidelity.CODE,
                        "brecq, with each error of a block's output weighted by the squared gradient of the network's error there",
                        new Reconstruct(STEPS * 3 / 4, Part.BLOCK, Learned.ROUNDING, false, 0, true, 0),
                        new Reconstruct(STEPS / 4, Part.BLOCK, Learned.NOTHING, true, 0, true, 0)),
                recipe(
                        "qdrop",
                        "Wei et al., QDrop (ICLR 2022)",
                        Fidelity.CODE,
                        "as brecq, roundings and bounds together, with half of the elements of inputs left as they are",
                        new Reconstruct(STEPS, Part.BLOCK, Learned.ROUNDING, true, DROP, false, 0)),
                recipe(
                        "apiq-style",
                        "Liao et al., ApiQ (EMNLP 2024), learnable weight clipping",
                        Fidelity.STYLE,
                        "ranges of weights clipped as is best for each block's output, and bounds of inputs",
                        new Reconstruct(STEPS, Part.BLOCK, Learned.CLIPPING, true, 0, false, 0)),
                recipe(
                        "ulb-sapr-style",
                        "ULB-SAPR, saliency-aware regularisation of ultra-low-bit weights, on ApiQ",
                        Fidelity.STYLE,
                        "apiq-style with a penalty for errors of salient weights, those of large gradients",
                        new Reconstruct(STEPS, Part.BLOCK, Learned.CLIPPING, true, 0, false, 0.1)));
    }

    private static Recipe recipe(String id, String paper, Fidelity fidelity, String summary, Pass... reconstructions) {
        Dobi dobi = new Dobi(Dobi.Variant.AUTO);
        List<Pass> passes = new ArrayList<>(List.of(new CalibrateWeights(dobi, true), new CalibrateActivations(dobi)));
        passes.addAll(List.of(reconstructions));
        return new Recipe(id, paper, fidelity, summary, passes);
    }
}
