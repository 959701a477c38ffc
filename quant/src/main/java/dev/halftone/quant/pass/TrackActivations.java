// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.calibration.Calibrator;
import dev.halftone.quant.calibration.Histogram;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Chooses the bounds of every site's input as moving averages of the smallest and the largest value of each sample, one grid for the
 * tensor. The first averages count as many samples as there were, so that none weighs more than it should.
 *
 * @param decay how much of the averages a sample keeps, at least 0 and less than 1
 */
public record TrackActivations(double decay) implements Pass {
    /** Averages, not yet divided by the sum of their weights. */
    private static final class Range {
        double min;
        double max;
        double weights;

        void add(double low, double high, double decay) {
            min = decay * min + low;
            max = decay * max + high;
            weights = decay * weights + 1;
        }
    }

    /** Checks the range. */
    public TrackActivations {
        if (!(decay >= 0 && decay < 1)) {
            throw new IllegalArgumentException(
                    "the decay of averages must be at least 0 and less than 1, not " + decay);
        }
    }

    @Override
    public String id() {
        return "track-activations(decay " + decay + ")";
    }

    @Override
    public void apply(Quantization run) {
        Map<InputOperand, Histogram> seen = new LinkedHashMap<>();
        Map<InputOperand, Range> ranges = new LinkedHashMap<>();
        if (!run.options().quantizesActivations()) {
            return;
        }
        run.observe((input, x) -> {
            seen.computeIfAbsent(input, i -> new Histogram("the input of " + i.name()))
                    .add(x);
            add(x, ranges.computeIfAbsent(input, i -> new Range()));
        });
        ranges.forEach((input, range) -> {
            float lower = (float) (range.min / range.weights);
            float upper = (float) (range.max / range.weights);
            var grid = Calibrator.covering(input.bits(), lower, upper);
            Histogram values = seen.getOrDefault(input, new Histogram(input.name()));
            input.quantize(UniformQuantizer.perTensor(grid), CalibrateActivations.relativeError(values, grid));
        });
    }

    private void add(Tensor x, Range range) {
        int size = x.size() / x.dim(0);
        for (int n = 0; n < x.dim(0); n++) {
            float min = Float.POSITIVE_INFINITY;
            float max = Float.NEGATIVE_INFINITY;
            for (int i = x.offset() + n * size; i < x.offset() + (n + 1) * size; i++) {
                min = Math.min(min, x.array()[i]);
                max = Math.max(max, x.array()[i]);
            }
            range.add(min, max, decay);
        }
    }
}
