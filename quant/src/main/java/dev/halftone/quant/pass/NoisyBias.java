// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.SiteState;
import dev.halftone.quant.calibration.Calibrator;
import dev.halftone.quant.calibration.Histogram;
import dev.halftone.quant.calibration.Tails;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.ChannelNormalization;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/**
 * Chooses the bounds of every input, and adds a fixed noise to each of its channels before it is quantized, which is taken back behind it
 * (NoisyQuant, Liu et al. 2023). For noise uniform on {@code [-n, n]} and levels {@code 2 b} apart, a value at a distance of less than
 * {@code n (1 - sqrt(n / (3 b)))} from the boundary of two codes has a smaller mean error with noise than without (theorem 1), and one near
 * a level a larger one. The amplitude is that of least squared error on the calibration images, of eighths of the distance of levels
 * and none at all. The report has it as {@code noise}, in units of that distance.
 *
 * <p>The noise and what is taken back are an offset of the input's channels ({@link ChannelNormalization}), exact for padded convolutions too.
 *
 * @param calibrator chooses the bounds
 * @param seed of the noise
 */
public record NoisyBias(Calibrator calibrator, long seed) implements Pass {
    private static final int AMPLITUDES = 8;

    @Override
    public String id() {
        return "noisy-bias(" + calibrator.id() + ")";
    }

    @Override
    public void apply(Quantization run) {
        run.requireQuantizedActivations(this);
        Map<InputOperand, Histogram> seen = run.observeInputs();
        Map<InputOperand, ChannelHistograms> channels = ChannelHistograms.observe(run);
        SplittableRandom random = new SplittableRandom(seed);
        for (SiteState site : run.sites()) {
            List<ChannelNormalization> noises = new ArrayList<>();
            List<UniformGrid> grids = new ArrayList<>();
            List<Double> errors = new ArrayList<>();
            for (InputOperand input : site.inputs()) {
                Histogram all = seen.getOrDefault(input, new Histogram(input.name()));
                UniformGrid grid =
                        calibrator.calibrate(all, input.bits(), all.min() == 0 ? Tails.UPPER : input.tails());
                grids.add(grid);
                errors.add(CalibrateActivations.relativeError(all, grid));
                ChannelHistograms own = channels.get(input);
                if (own != null) {
                    ChannelNormalization noise = noise(site, own, grid, draw(own.size(), random));
                    errors.set(errors.size() - 1, own.relativeError(shifted(grid, noise.offset())));
                    noises.add(noise);
                }
            }
            if (site.canNormalize()) {
                site.normalize(noises);
            }
            for (int i = 0; i < grids.size(); i++) {
                site.inputs().get(i).quantize(UniformQuantizer.perTensor(grids.get(i)), errors.get(i));
            }
        }
    }

    private static double[] draw(int n, SplittableRandom random) {
        return random.doubles(n, -1, 1).toArray();
    }

    /** Returns the noise of the amplitude that is best. */
    private static ChannelNormalization noise(
            SiteState site, ChannelHistograms input, UniformGrid grid, double[] directions) {
        Tensor best = Tensor.zeros(directions.length);
        double least = input.relativeError(shifted(grid, best));
        double chosen = 0;
        for (int k = 1; k <= AMPLITUDES; k++) {
            double amplitude = (double) k / AMPLITUDES;
            Tensor offset = Tensor.zeros(directions.length);
            for (int c = 0; c < directions.length; c++) {
                offset.set((float) (-amplitude * grid.scale() * directions[c]), c);
            }
            double error = input.relativeError(shifted(grid, offset));
            if (error < least) {
                least = error;
                best = offset;
                chosen = amplitude;
            }
        }
        site.measure("noise", chosen);
        return new ChannelNormalization(best, Tensor.zeros(directions.length).fill(1));
    }

    /** Returns the levels that channels have: those of the grid, moved by the offset. */
    private static List<UniformGrid> shifted(UniformGrid grid, Tensor offset) {
        List<UniformGrid> grids = new ArrayList<>();
        for (int c = 0; c < offset.size(); c++) {
            grids.add(new UniformGrid(grid.bits(), grid.lower() + offset.get(c), grid.upper() + offset.get(c)));
        }
        return grids;
    }
}
