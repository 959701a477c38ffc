// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.optim;

/**
 * Linear warm-up, then half a cosine from {@code base} down to {@code floor} (Loshchilov and Hutter 2017, equation 5, without
 * restarts).
 *
 * <p>Step {@code s < warmUp} gets {@code base (s + 1) / warmUp}. From there on, with {@code t = (s - warmUp) / (steps - warmUp)},
 * a step gets {@code floor + (base - floor) (1 + cos(pi t)) / 2}, and {@code floor} from step {@code steps} on. Without warm-up
 * this is PyTorch's {@code CosineAnnealingLR} with {@code T_max = steps}.
 *
 * @param base the highest rate
 * @param steps where {@code floor} is reached
 * @param warmUp how many of these steps rise, less than {@code steps}
 * @param floor the last rate, 0 to {@code base}
 */
public record CosineSchedule(double base, long steps, long warmUp, double floor) implements LearningRateSchedule {
    /** Checks the ranges. */
    public CosineSchedule {
        if (!(floor >= 0 && floor <= base)) {
            throw new IllegalArgumentException("the last learning rate " + floor + " is not within 0 to " + base);
        }
        if (warmUp < 0 || warmUp >= steps) {
            throw new IllegalArgumentException(warmUp + " warm-up steps of " + steps);
        }
    }

    /** Creates a schedule that ends at 0. */
    public CosineSchedule(double base, long steps, long warmUp) {
        this(base, steps, warmUp, 0);
    }

    @Override
    public double at(long step) {
        if (step < warmUp) {
            return base * (step + 1) / warmUp;
        }
        return between(base, floor, (double) (step - warmUp) / (steps - warmUp));
    }

    /** Returns the rate at fraction {@code t} of a descent; {@code floor} from 1 on. */
    static double between(double base, double floor, double t) {
        return t >= 1 ? floor : floor + (base - floor) * (1 + Math.cos(Math.PI * t)) / 2;
    }
}
