// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.allocation;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * A width that an operand could have.
 *
 * @param bits of a code
 * @param size what it takes of the budget; not negative, and larger for more bits
 * @param damage what it does to the network, in a unit in which damages of operands can be compared; not negative
 */
public record Choice(int bits, long size, double damage) {
    /** Checks the ranges. */
    public Choice {
        if (size < 0 || !(damage >= 0) || damage == Double.POSITIVE_INFINITY) {
            throw new IllegalArgumentException("no choice: size " + size + ", damage " + damage);
        }
    }

    /** Returns, by rising size, those choices that do less damage than every smaller one. */
    public static List<Choice> front(List<Choice> choices) {
        List<Choice> front = new ArrayList<>();
        for (Choice choice : choices.stream()
                .sorted(Comparator.comparingLong(Choice::size).thenComparingDouble(Choice::damage))
                .toList()) {
            if (front.isEmpty() || choice.damage() < front.getLast().damage()) {
                front.add(choice);
            }
        }
        return front;
    }
}
