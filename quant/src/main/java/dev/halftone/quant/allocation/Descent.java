// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.allocation;

import java.util.ArrayList;
import java.util.List;

/** All begin with the most bits; whoever gains the least damage for what it gives back takes the next width below, until the budget is met. */
public record Descent() implements Allocator {
    @Override
    public List<Choice> allocate(List<List<Choice>> operands, long budget) {
        Allocator.smallest(operands, budget);
        int[] at = operands.stream().mapToInt(choices -> choices.size() - 1).toArray();
        long size =
                operands.stream().mapToLong(choices -> choices.getLast().size()).sum();
        while (size > budget) {
            int best = -1;
            double least = Double.POSITIVE_INFINITY;
            for (int i = 0; i < at.length; i++) {
                if (at[i] == 0) {
                    continue;
                }
                Choice now = operands.get(i).get(at[i]);
                Choice next = operands.get(i).get(at[i] - 1);
                double price = (next.damage() - now.damage()) / (now.size() - next.size());
                if (price < least) {
                    least = price;
                    best = i;
                }
            }
            size -= operands.get(best).get(at[best]).size()
                    - operands.get(best).get(at[best] - 1).size();
            at[best]--;
        }
        List<Choice> chosen = new ArrayList<>();
        for (int i = 0; i < at.length; i++) {
            chosen.add(operands.get(i).get(at[i]));
        }
        return chosen;
    }
}
