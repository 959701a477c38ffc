// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.optim;

import java.util.List;

/**
 * Cosine descents one after another, each from a height of its own (Loshchilov and Hutter 2017, as BasicSR's
 * {@code CosineAnnealingRestartLR} computes it).
 *
 * <p>Descent {@code i} takes {@code periods[i]} steps and falls from {@code floor + weights[i] (base - floor)} to {@code floor}.
 * As in BasicSR, the step at which a period ends still belongs to it, so it gets {@code floor} and the top of the next descent is
 * never used itself. After the last period the rate stays at {@code floor}.
 *
 * @param base the highest rate for weight 1
 * @param floor where every descent ends, 0 to {@code base}
 * @param periods the lengths in steps
 * @param weights one per period
 */
public record CosineRestartSchedule(double base, double floor, List<Long> periods, List<Double> weights)
        implements LearningRateSchedule {
    /** Checks the ranges and copies the lists. */
    public CosineRestartSchedule {
        periods = List.copyOf(periods);
        weights = List.copyOf(weights);
        if (!(floor >= 0 && floor <= base)) {
            throw new IllegalArgumentException("the lowest learning rate " + floor + " is not within 0 to " + base);
        }
        if (periods.size() != weights.size() || periods.stream().anyMatch(p -> p < 1)) {
            throw new IllegalArgumentException("periods " + periods + " with weights " + weights);
        }
    }

    @Override
    public double at(long step) {
        long start = 0;
        for (int i = 0; i < periods.size(); i++) {
            long end = start + periods.get(i);
            if (step <= end) {
                double top = floor + weights.get(i) * (base - floor);
                return CosineSchedule.between(top, floor, (double) (step - start) / (end - start));
            }
            start = end;
        }
        return floor;
    }
}
