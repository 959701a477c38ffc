// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.optim;

import java.util.List;

/**
 * A rate that is multiplied by {@code factor} at each milestone (PyTorch's {@code MultiStepLR}).
 *
 * @param base the rate before the first milestone
 * @param factor for example 0.5
 * @param milestones the first step of each lower rate; a step listed twice counts twice
 */
public record MultiStepSchedule(double base, double factor, List<Long> milestones) implements LearningRateSchedule {
    /** Copies the list. */
    public MultiStepSchedule {
        milestones = List.copyOf(milestones);
    }

    @Override
    public double at(long step) {
        double rate = base;
        for (long milestone : milestones) {
            if (step >= milestone) {
                rate *= factor;
            }
        }
        return rate;
    }
}
