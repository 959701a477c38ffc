// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.calibration.Calibrator;
import dev.halftone.quant.calibration.GaussianStep;
import dev.halftone.quant.calibration.Histogram;
import dev.halftone.tensor.UniformGrid;
import java.util.ArrayList;
import java.util.List;

/**
 * Gives every channel of an input the grid that is best for a normal distribution of its mean and standard deviation, without a search
 * (DAQ, Hong et al. 2022). Where nothing is below 0, behind a ReLU, the statistics are those of the positive values and the levels begin
 * at 0. The deviations of a layer's channels are themselves quantized, around their mean and by their deviation.
 *
 * <p>DAQ computes the statistics anew for every image. Here they are those of the calibration images, as a network that is executed on codes, in
 * bands of rows and tiles, cannot know an image's before it has seen it.
 *
 * @param parameterBits of the codes of deviations, 1 to 8; 4 in the published settings
 */
public record DistributionAware(int parameterBits) implements Pass {
    /** Mean and standard deviation. */
    record Moments(double mean, double deviation) {}

    /** Checks the range. */
    public DistributionAware {
        if (parameterBits < 1 || parameterBits > 8) {
            throw new IllegalArgumentException("deviations have 1 to 8 bits, not " + parameterBits);
        }
    }

    @Override
    public String id() {
        return "distribution-aware(deviations of " + parameterBits + " bits)";
    }

    @Override
    public void apply(Quantization run) {
        run.requireQuantizedActivations(this);
        ChannelGrids.apply(run, this::grids);
    }

    private List<UniformGrid> grids(InputOperand input, ChannelHistograms channels) {
        boolean rectified = channels.min() == 0;
        List<Moments> moments = new ArrayList<>();
        double[] deviations = new double[channels.size()];
        for (int c = 0; c < deviations.length; c++) {
            moments.add(moments(channels.get(c), rectified));
            deviations[c] = moments.get(c).deviation;
        }
        double[] quantized = quantized(deviations, parameterBits);
        List<UniformGrid> grids = new ArrayList<>();
        for (int c = 0; c < deviations.length; c++) {
            grids.add(grid(input.bits(), moments.get(c).mean, quantized[c], rectified));
        }
        return grids;
    }

    /** Returns the grid of a channel. */
    static UniformGrid grid(int bits, double mean, double deviation, boolean rectified) {
        if (!rectified) {
            return GaussianStep.around(bits, mean, deviation);
        }
        double upper = ((1 << bits) - 1) * GaussianStep.step(bits) * deviation;
        return Calibrator.covering(bits, 0, (float) upper);
    }

    /** Of the positive values where the channel is rectified: those beyond the lowest bin, which has the zeros. */
    static Moments moments(Histogram channel, boolean positive) {
        double count = 0;
        double sum = 0;
        for (int i = 0; i < channel.bins(); i++) {
            if (channel.count(i) > 0 && !(positive && channel.start(i) <= 0)) {
                count += channel.count(i);
                sum += (double) channel.count(i) * channel.mean(i);
            }
        }
        if (count == 0) {
            return new Moments(0, 0);
        }
        double mean = sum / count;
        double variance = channel.sumOfSquares() / count - mean * mean;
        return new Moments(mean, Math.sqrt(Math.max(variance, 0)));
    }

    /** Returns the levels of deviations: half a step above or below their mean, and so on. */
    static double[] quantized(double[] deviations, int bits) {
        double mean = 0;
        double squares = 0;
        for (double d : deviations) {
            mean += d / deviations.length;
            squares += d * d / deviations.length;
        }
        double spread = Math.sqrt(Math.max(squares - mean * mean, 0));
        if (spread < 1e-6 * mean) {
            return deviations.clone();
        }
        UniformGrid grid = GaussianStep.around(bits, mean, spread);
        double[] levels = new double[deviations.length];
        for (int c = 0; c < levels.length; c++) {
            // A channel that varies less than half of the lowest level still needs a grid.
            levels[c] = Math.max(grid.level(grid.code((float) deviations[c])), mean / (1 << bits));
        }
        return levels;
    }
}
