// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.SiteState;
import dev.halftone.quant.calibration.Distribution;
import dev.halftone.quant.calibration.Histogram;
import dev.halftone.quant.format.LevelQuantizer;
import java.util.Map;

/**
 * Rounds what a softmax has made to powers of the square root of 2 (RepQ-ViT, Li et al. 2023, log-sqrt2 quantizer): levels {@code s 2^(-q /
 * 2)}, {@code q = 0..2^bits - 2}, and 0, with the {@code s} of least squared error. Networks without attention stay as they are.
 */
public record LogarithmicProbabilities() implements Pass {
    /** Scales are the largest value, and down to 0.22 of it. */
    private static final int RATIOS = 40;

    private static final double STEP = 0.02;
    private static final int BINS = 1024;

    @Override
    public String id() {
        return "logarithmic-probabilities";
    }

    @Override
    public void apply(Quantization run) {
        run.requireQuantizedActivations(this);
        Map<InputOperand, Histogram> inputs = run.observeInputs();
        for (SiteState site : run.sites()) {
            for (int i = 0; i < site.inputs().size(); i++) {
                InputOperand input = site.inputs().get(i);
                Histogram seen = inputs.get(input);
                if (seen != null
                        && site.layer().isProbability(site.layer().inputs().get(i))) {
                    LevelQuantizer by = choose(seen.coarsened(BINS), input.bits());
                    input.quantize(by, CalibrateActivations.relativeError(seen, by.table()));
                }
            }
        }
    }

    /** Returns the levels of least squared error. */
    static LevelQuantizer choose(Distribution values, int bits) {
        LevelQuantizer best = levels(bits, values.max());
        double least = values.squaredError(best.table());
        for (int k = 1; k < RATIOS; k++) {
            LevelQuantizer candidate = levels(bits, (1 - STEP * k) * values.max());
            double error = values.squaredError(candidate.table());
            if (error < least) {
                least = error;
                best = candidate;
            }
        }
        return best;
    }

    /** Returns 0 and powers of the square root of 2 up to {@code scale}; those that half precision does not tell from 0 are 0. */
    static LevelQuantizer levels(int bits, double scale) {
        double[] levels = new double[1 << bits];
        for (int q = 0; q + 1 < levels.length; q++) {
            levels[q] = scale * Math.pow(2, -q / 2.0);
        }
        return LevelQuantizer.of(bits, levels);
    }
}
