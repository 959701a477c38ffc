// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.SiteState;
import dev.halftone.quant.WeightOperand;
import dev.halftone.quant.calibration.Calibrator;
import dev.halftone.quant.calibration.Samples;
import dev.halftone.quant.calibration.Tails;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.List;

/**
 * Chooses the bounds of every site's weight from its values.
 *
 * @param calibrator how
 * @param perChannel one grid for each output channel instead of one for the tensor
 */
public record CalibrateWeights(Calibrator calibrator, boolean perChannel) implements Pass {
    @Override
    public String id() {
        return "calibrate-weights(" + calibrator.id() + (perChannel ? ", per-channel)" : ", per-tensor)");
    }

    @Override
    public void apply(Quantization run) {
        for (SiteState site : run.sites()) {
            for (WeightOperand weight : site.weights()) {
                if (weight.isStored()) {
                    continue;
                }
                Tensor w = weight.values();
                if (!perChannel) {
                    weight.quantize(UniformQuantizer.perTensor(
                            calibrator.calibrate(Samples.of(weight.name(), w), weight.bits(), Tails.BOTH)));
                    continue;
                }
                UniformGrid[] grids = new UniformGrid[w.dim(-1)];
                run.compute().forEachRange(grids.length, (from, to) -> {
                    for (int c = from; c < to; c++) {
                        grids[c] =
                                calibrator.calibrate(Samples.ofChannel(weight.name(), w, c), weight.bits(), Tails.BOTH);
                    }
                });
                weight.quantize(new UniformQuantizer(List.of(grids)));
            }
        }
    }
}
