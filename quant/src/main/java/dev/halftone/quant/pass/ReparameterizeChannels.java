// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.calibration.Calibrator;
import dev.halftone.quant.calibration.Tails;
import dev.halftone.tensor.UniformGrid;
import java.util.ArrayList;
import java.util.List;

/**
 * Chooses bounds for every channel of an input, and scales and shifts the channels such that one grid, the mean of theirs, serves them all
 * (RepQ-ViT, Li et al. 2023, "scale reparameterization"): with {@code r_c} the ratio of a channel's step to the mean step, {@code x' =
 * (x - o_c) / r_c} and {@code W' = W r_c}. The layer computes what it did; its weight has to be quantized afterwards.
 *
 * @param calibrator chooses a channel's bounds
 */
public record ReparameterizeChannels(Calibrator calibrator) implements Pass {
    @Override
    public String id() {
        return "reparameterize-channels(" + calibrator.id() + ")";
    }

    @Override
    public void apply(Quantization run) {
        run.requireQuantizedActivations(this);
        ChannelGrids.apply(run, (input, channels) -> {
            List<UniformGrid> grids = new ArrayList<>();
            for (int c = 0; c < channels.size(); c++) {
                Tails tails = channels.min() == 0 ? Tails.UPPER : input.tails();
                grids.add(calibrator.calibrate(channels.get(c), input.bits(), tails));
            }
            return grids;
        });
    }
}
