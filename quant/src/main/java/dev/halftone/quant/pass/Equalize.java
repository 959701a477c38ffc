// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.SiteState;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.ChannelNormalization;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Moves the differences between channels from inputs to weights, where they do less harm: channel {@code c} of an input is divided by
 * {@code s_c = (max |X_c| / max |W_c|)^alpha}, and its weights are multiplied by that. This is where PassionSR's learnable
 * equivalent transformation begins (Zhu et al. 2025, {@code alpha = 0.3}); with {@code alpha = 0.5} it is SmoothQuant (Xiao et al. 2023,
 * equation 4): channels of inputs and weights become equally large. The layer computes what it did.
 *
 * @param alpha 0, nothing moves, to 1, all of the ratio
 */
public record Equalize(double alpha) implements Pass {
    private static final double LEAST = 1e-5;

    /** Checks the range. */
    public Equalize {
        if (!(alpha >= 0 && alpha <= 1)) {
            throw new IllegalArgumentException("alpha must be 0 to 1, not " + alpha);
        }
    }

    @Override
    public String id() {
        return "equalize(alpha " + alpha + ")";
    }

    @Override
    public void apply(Quantization run) {
        Map<InputOperand, ChannelHistograms> seen = ChannelHistograms.observe(run);
        for (SiteState site : run.sites()) {
            List<ChannelNormalization> all = new ArrayList<>();
            for (int i = 0; site.canNormalize() && i < site.inputs().size(); i++) {
                ChannelHistograms input = seen.get(site.inputs().get(i));
                if (input != null) {
                    all.add(normalization(input, site.weights().get(i).values()));
                }
            }
            if (site.canNormalize()) {
                site.normalize(all);
            }
        }
    }

    private ChannelNormalization normalization(ChannelHistograms input, Tensor weight) {
        int out = weight.dim(-1);
        double[] largest = new double[input.size()];
        for (int i = 0; i < weight.size(); i++) {
            int c = i / out % largest.length;
            largest[c] = Math.max(largest[c], Math.abs(weight.array()[i]));
        }
        Tensor gain = Tensor.zeros(input.size());
        for (int c = 0; c < gain.size(); c++) {
            double ratio = Math.max(largest[c], LEAST) / Math.max(input.largest(c), LEAST);
            gain.set((float) Math.pow(ratio, alpha), c);
        }
        return new ChannelNormalization(Tensor.zeros(gain.size()), gain);
    }
}
