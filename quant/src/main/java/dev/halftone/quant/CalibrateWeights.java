// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.quant.calibration.Calibrator;
import dev.halftone.quant.calibration.Samples;
import dev.halftone.quant.calibration.Tails;
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
        int bits = run.options().weightBits();
        for (Quantization.SiteState s : run.sites()) {
            Tensor w = s.conv.weight().value();
            String name = s.site.name() + ".weight";
            if (perChannel) {
                UniformGrid[] grids = new UniformGrid[w.dim(-1)];
                run.compute().forEachRange(grids.length, (from, to) -> {
                    for (int c = from; c < to; c++) {
                        grids[c] = calibrator.calibrate(Samples.ofChannel(name, w, c), bits, Tails.BOTH);
                    }
                });
                s.weight = new UniformQuantizer(List.of(grids));
            } else {
                s.weight = UniformQuantizer.perTensor(calibrator.calibrate(Samples.of(name, w), bits, Tails.BOTH));
            }
        }
    }
}
