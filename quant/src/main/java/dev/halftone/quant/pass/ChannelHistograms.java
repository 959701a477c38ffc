// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.SiteState;
import dev.halftone.quant.calibration.Histogram;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/** The distribution of every channel of an input over the calibration images. */
public final class ChannelHistograms {
    /** Bins of a channel: a network has hundreds to thousands of channels. */
    private static final int BINS = 1024;

    private final List<Histogram> channels;

    private ChannelHistograms(String name, int channels) {
        this.channels = IntStream.range(0, channels)
                .mapToObj(c -> new Histogram("the input of " + name + ", channel " + c, BINS))
                .toList();
    }

    /** Runs the network over the calibration batches and returns the channels of every input that meets a weight. */
    public static Map<InputOperand, ChannelHistograms> observe(Quantization run) {
        Map<InputOperand, ChannelHistograms> seen = new LinkedHashMap<>();
        for (SiteState site : run.sites()) {
            for (int i = 0; site.canNormalize() && i < site.inputs().size(); i++) {
                InputOperand input = site.inputs().get(i);
                int channels = site.weights().get(i).values().dim(-2);
                seen.put(input, new ChannelHistograms(input.name(), channels));
            }
        }
        run.observe((input, x) -> {
            ChannelHistograms histograms = seen.get(input);
            if (histograms != null) {
                histograms.add(run.compute(), x);
            }
        });
        return seen;
    }

    private void add(Compute compute, Tensor x) {
        int n = channels.size();
        compute.forEachRange(n, 8, (from, to) -> {
            Tensor one = Tensor.zeros(x.size() / n);
            for (int c = from; c < to; c++) {
                for (int i = 0; i < one.size(); i++) {
                    one.array()[i] = x.array()[x.offset() + i * n + c];
                }
                channels.get(c).add(one);
            }
        });
    }

    /** Returns the number of channels. */
    int size() {
        return channels.size();
    }

    /** Returns a channel. */
    public Histogram get(int channel) {
        return channels.get(channel);
    }

    /** Returns the largest magnitude in a channel. */
    public double largest(int channel) {
        return Math.max(Math.abs(get(channel).min()), Math.abs(get(channel).max()));
    }

    /** Returns the smallest value of all. */
    float min() {
        return (float) channels.stream().mapToDouble(Histogram::min).min().orElse(0);
    }

    /** Returns {@code |x - xq|^2 / |x|^2} where channel {@code c} has grid number {@code c}. */
    double relativeError(List<UniformGrid> grids) {
        double error = 0;
        double power = 0;
        for (int c = 0; c < size(); c++) {
            error += get(c).squaredError(grids.get(c));
            power += get(c).sumOfSquares();
        }
        return error / Math.max(power, Double.MIN_NORMAL);
    }
}
