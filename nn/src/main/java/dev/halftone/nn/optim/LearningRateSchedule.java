// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.optim;

/** The learning rate as a function of the step: the same step always gives the same rate. */
@FunctionalInterface
public interface LearningRateSchedule {
    /** Returns the learning rate of a step; the first step is 0. */
    double at(long step);
}
