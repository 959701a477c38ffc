// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.allocation;

import java.util.ArrayList;
import java.util.List;

/**
 * One limit of damage for all (FMPQ, "flexible mixed precision quantization"): walking down from the most bits, every operand takes the last
 * width before one whose damage exceeds the limit. A higher limit never gives anybody more bits, so the sizes fall with the limit,
 * and the lowest limit that meets the budget is found among the damages themselves. It makes the worst damage as small as the budget allows.
 */
public record Threshold() implements Allocator {
    @Override
    public List<Choice> allocate(List<List<Choice>> operands, long budget) {
        Allocator.smallest(operands, budget);
        if (Allocator.size(within(operands, Double.NEGATIVE_INFINITY)) <= budget) {
            return within(operands, Double.NEGATIVE_INFINITY);
        }
        double[] limits = operands.stream()
                .flatMap(List::stream)
                .mapToDouble(Choice::damage)
                .distinct()
                .sorted()
                .toArray();
        int low = -1; // too large
        int high = limits.length - 1; // with the highest limit everybody takes the smallest
        while (high - low > 1) {
            int middle = (low + high) / 2;
            if (Allocator.size(within(operands, limits[middle])) <= budget) {
                high = middle;
            } else {
                low = middle;
            }
        }
        return within(operands, limits[high]);
    }

    /** Returns what everybody takes under a limit. */
    public static List<Choice> within(List<List<Choice>> operands, double limit) {
        List<Choice> chosen = new ArrayList<>();
        for (List<Choice> choices : operands) {
            int i = choices.size() - 1;
            while (i > 0 && choices.get(i - 1).damage() <= limit) {
                i--;
            }
            chosen.add(choices.get(i));
        }
        return chosen;
    }
}
