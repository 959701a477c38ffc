// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.calibration.Histogram;
import java.util.Comparator;
import java.util.List;
import java.util.Map;

/**
 * Gives inputs that vary much one bit more and as many that vary little one bit less, so that the average stays: the layer factor of AdaBM
 * (Hong and Lee 2024), -1 below and +1 above percentiles of the standard deviation. Its other factor, of the image, would change the bits of
 * a network from image to image, which packed layers have no form for. Inputs of 1 and of 8 bits stay as they are.
 *
 * @param share of the inputs that get more, and of those that get less; 0 to 0.5
 */
public record AllocateByDeviation(double share) implements Pass {
    /** Checks the range. */
    public AllocateByDeviation {
        if (!(share >= 0 && share <= 0.5)) {
            throw new IllegalArgumentException("the share must be 0 to 0.5, not " + share);
        }
    }

    @Override
    public String id() {
        return "allocate(by deviation, " + share + ")";
    }

    @Override
    public void apply(Quantization run) {
        Map<InputOperand, Histogram> seen = run.observeInputs();
        List<InputOperand> inputs = seen.entrySet().stream()
                .filter(e -> e.getKey().bits() > 1 && e.getKey().bits() < 8)
                .sorted(Comparator.comparingDouble(e -> deviation(e.getValue())))
                .map(Map.Entry::getKey)
                .toList();
        int moved = (int) (share * inputs.size());
        for (int i = 0; i < moved; i++) {
            InputOperand less = inputs.get(i);
            InputOperand more = inputs.get(inputs.size() - 1 - i);
            less.allocate(less.bits() - 1);
            more.allocate(more.bits() + 1);
        }
    }

    /** Returns the standard deviation. */
    static double deviation(Histogram values) {
        double sum = 0;
        for (int i = 0; i < values.bins(); i++) {
            sum += values.count(i) == 0 ? 0 : (double) values.count(i) * values.mean(i);
        }
        double mean = sum / values.count();
        return Math.sqrt(Math.max(values.sumOfSquares() / values.count() - mean * mean, 0));
    }
}
