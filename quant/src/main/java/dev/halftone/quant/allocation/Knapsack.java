// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.allocation;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The least sum of damages within the budget (the integer program of MLoRQ), by dynamic programming over sizes. It is exact where all sizes
 * are multiples of one unit of which the budget has no more than {@value #CELLS}; otherwise sizes are rounded up to such units, which can
 * leave a part of the budget unused, and the best uniform choice is taken where it is better.
 */
public record Knapsack() implements Allocator {
    private static final int CELLS = 50_000;

    @Override
    public List<Choice> allocate(List<List<Choice>> operands, long budget) {
        List<Choice> best = Allocator.smallest(operands, budget);
        long spare = budget - Allocator.size(best);
        long unit = 0;
        for (List<Choice> choices : operands) {
            for (Choice choice : choices) {
                unit = gcd(unit, choice.size() - choices.getFirst().size());
            }
        }
        unit = Math.max(Math.max(1, unit), Math.ceilDiv(spare, CELLS));
        int cells = (int) (spare / unit);
        double[] least = new double[cells + 1]; // damage of the operands so far within so many units above the smallest
        int[][] taken = new int[operands.size()][cells + 1];
        for (int i = 0; i < operands.size(); i++) {
            List<Choice> choices = operands.get(i);
            double[] next = new double[cells + 1];
            Arrays.fill(next, Double.POSITIVE_INFINITY);
            for (int c = 0; c < choices.size(); c++) {
                long more =
                        Math.ceilDiv(choices.get(c).size() - choices.getFirst().size(), unit);
                for (int cell = (int) Math.min(more, cells + 1L); cell <= cells; cell++) {
                    double damage = least[cell - (int) more] + choices.get(c).damage();
                    if (damage < next[cell]) {
                        next[cell] = damage;
                        taken[i][cell] = c;
                    }
                }
            }
            least = next;
        }
        List<Choice> exact = new ArrayList<>();
        int cell = cells;
        for (int i = operands.size() - 1; i >= 0; i--) {
            List<Choice> choices = operands.get(i);
            Choice choice = choices.get(taken[i][cell]);
            exact.addFirst(choice);
            cell -= (int) Math.ceilDiv(choice.size() - choices.getFirst().size(), unit);
        }
        for (List<Choice> candidate : uniform(operands, budget)) {
            best = Allocator.damage(candidate) < Allocator.damage(best) ? candidate : best;
        }
        return Allocator.damage(exact) <= Allocator.damage(best) ? exact : best;
    }

    /** Returns what meets the budget of: everybody's smallest choice, everybody's second, and so on. */
    private static List<List<Choice>> uniform(List<List<Choice>> operands, long budget) {
        List<List<Choice>> all = new ArrayList<>();
        int most = operands.stream().mapToInt(List::size).min().orElse(0);
        for (int i = 0; i < most; i++) {
            int each = i;
            List<Choice> same =
                    operands.stream().map(choices -> choices.get(each)).toList();
            if (Allocator.size(same) <= budget) {
                all.add(same);
            }
        }
        return all;
    }

    private static long gcd(long a, long b) {
        return b == 0 ? a : gcd(b, a % b);
    }
}
