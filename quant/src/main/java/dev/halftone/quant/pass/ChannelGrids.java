// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.SiteState;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.ChannelNormalization;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Gives every channel of an input a grid of its own, which packed layers execute as one grid of normalised channels. */
final class ChannelGrids {
    /** Chooses a channel's grid. */
    @FunctionalInterface
    interface Choice {
        /** Returns one grid for each channel. */
        List<UniformGrid> grids(InputOperand input, ChannelHistograms channels);
    }

    /** Grids narrower than this, in units of the mean one, are widened: dead channels have none. */
    private static final double NARROWEST = 1e-3;

    private ChannelGrids() {}

    /**
     * Normalises the inputs of a run such that every channel's grid becomes the mean one, and quantizes them; inputs that meet no weight are
     * left to others. Weights, now those of the normalised inputs, have to be quantized afterwards.
     */
    static void apply(Quantization run, Choice choice) {
        Map<InputOperand, ChannelHistograms> seen = ChannelHistograms.observe(run);
        for (SiteState site : run.sites()) {
            if (!site.canNormalize()) {
                continue;
            }
            List<ChannelNormalization> normalizations = new ArrayList<>();
            List<UniformGrid> means = new ArrayList<>();
            List<Double> errors = new ArrayList<>();
            for (InputOperand input : site.inputs()) {
                ChannelHistograms channels = seen.get(input);
                if (channels == null) {
                    throw new IllegalStateException("the input of " + input.name() + " was not seen");
                }
                List<UniformGrid> grids = choice.grids(input, channels);
                UniformGrid mean = mean(grids);
                means.add(mean);
                normalizations.add(normalization(grids, mean));
                errors.add(channels.relativeError(grids));
            }
            site.normalize(normalizations);
            for (int i = 0; i < means.size(); i++) {
                site.inputs().get(i).quantize(UniformQuantizer.perTensor(means.get(i)), errors.get(i));
            }
        }
    }

    private static UniformGrid mean(List<UniformGrid> grids) {
        double lower = 0;
        double upper = 0;
        for (UniformGrid grid : grids) {
            lower += grid.lower() / (double) grids.size();
            upper += grid.upper() / (double) grids.size();
        }
        return new UniformGrid(grids.getFirst().bits(), (float) lower, (float) upper);
    }

    /** Returns what maps every channel's grid to the mean one. */
    static ChannelNormalization normalization(List<UniformGrid> grids, UniformGrid mean) {
        Tensor offset = Tensor.zeros(grids.size());
        Tensor gain = Tensor.zeros(grids.size());
        double width = (double) mean.upper() - mean.lower();
        for (int c = 0; c < grids.size(); c++) {
            UniformGrid grid = grids.get(c);
            double own = Math.max((double) grid.upper() - grid.lower(), NARROWEST * width);
            gain.set((float) (width / own), c);
            offset.set((float) (grid.lower() - mean.lower() * own / width), c);
        }
        return new ChannelNormalization(offset, gain);
    }
}
