// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.allocation;

import java.util.ArrayList;
import java.util.List;

/** A way to choose one width for every operand within a budget. Implementations are stateless. */
public interface Allocator {
    /**
     * Chooses. The sizes of what is chosen add up to no more than the budget.
     *
     * @param operands the choices of each, by rising size
     * @throws IllegalArgumentException if even the smallest choices exceed the budget
     */
    List<Choice> allocate(List<List<Choice>> operands, long budget);

    /** Returns the sum of the sizes. */
    static long size(List<Choice> chosen) {
        return chosen.stream().mapToLong(Choice::size).sum();
    }

    /** Returns the sum of the damages. */
    static double damage(List<Choice> chosen) {
        return chosen.stream().mapToDouble(Choice::damage).sum();
    }

    /**
     * Returns the smallest choice of every operand.
     *
     * @throws IllegalArgumentException if they exceed the budget
     */
    static List<Choice> smallest(List<List<Choice>> operands, long budget) {
        List<Choice> smallest = new ArrayList<>();
        operands.forEach(choices -> smallest.add(choices.getFirst()));
        if (size(smallest) > budget) {
            throw new IllegalArgumentException(
                    "a budget of " + budget + " is too small: the least is " + size(smallest));
        }
        return smallest;
    }
}
