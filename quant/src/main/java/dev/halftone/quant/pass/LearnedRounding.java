// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.nn.Gradients;
import dev.halftone.nn.Parameter;
import dev.halftone.nn.Value;
import dev.halftone.quant.WeightOperand;
import dev.halftone.tensor.Tensor;

/**
 * Learns for every weight which of two levels it takes, the one below or the one above (AdaRound, Nagel et al. 2020), or which of three,
 * as the {@link Ladder} allows: with the lowest code {@code f} of them and {@code n} steps to the highest,
 *
 * <pre>{@code  w(v) = level(f + n h(v)),   h(v) = clamp(sigmoid(v) (zeta - gamma) + gamma, 0, 1),   gamma = -0.1, zeta = 1.1}</pre>
 *
 * which begins at the weight itself, up to clipping. A regulariser, the mean over all weights of {@code 1 - |2 r - 1|^beta}, {@code r} the
 * way from the level below, drives weights to levels, weakly at first: it is 0 for a fifth of the training, and then beta falls from 20 to 2. In
 * the end a weight takes the level that it is nearest to.
 */
final class LearnedRounding implements LearnedWeight {
    static final double GAMMA = -0.1;
    static final double ZETA = 1.1;
    private static final double WARM_UP = 0.2;
    private static final double FIRST_BETA = 20;
    private static final double LAST_BETA = 2;

    private final Parameter weight;
    private final Ladder ladder;
    private final double regularization;
    private final int[] from;
    private final int[] reach;
    private final float[] v;
    private final AdamSteps steps;

    /**
     * Begins at the values of a weight.
     *
     * @param weight where the weight as it is at present is kept
     * @param ladder its levels
     * @param regularization how much the regulariser counts
     */
    LearnedRounding(Parameter weight, Tensor values, Ladder ladder, double regularization) {
        this.weight = weight;
        this.ladder = ladder;
        this.regularization = regularization;
        int n = values.size();
        from = new int[n];
        reach = new int[n];
        v = new float[n];
        steps = new AdamSteps(n);
        for (int i = 0; i < n; i++) {
            double u = ladder.position(i, values.array()[values.offset() + i]);
            from[i] = ladder.from(i, u);
            reach[i] = ladder.to(i, u) - from[i];
            v[i] = (float) -Math.log((ZETA - GAMMA) / ((u - from[i]) / reach[i] - GAMMA) - 1);
        }
        harden(false);
    }

    private static double sigmoid(double x) {
        return 1 / (1 + Math.exp(-x));
    }

    /** Returns {@code h}. */
    static double up(double v) {
        return Math.clamp(sigmoid(v) * (ZETA - GAMMA) + GAMMA, 0, 1);
    }

    /** Returns the derivative of {@code h}. */
    static double slope(double v) {
        double s = sigmoid(v);
        double h = s * (ZETA - GAMMA) + GAMMA;
        return h > 0 && h < 1 ? (ZETA - GAMMA) * s * (1 - s) : 0;
    }

    /** Returns beta, or NaN where the regulariser does not count yet. */
    static double beta(double progress) {
        double after = (progress - WARM_UP) / (1 - WARM_UP);
        return after < 0 ? Double.NaN : FIRST_BETA + (LAST_BETA - FIRST_BETA) * after;
    }

    @Override
    public Value of(Value w) {
        return weight.in(w);
    }

    @Override
    public void learn(Gradients gradients, double progress, double rate) {
        Tensor g = gradients.of(weight);
        double beta = beta(progress);
        float[] chained = new float[v.length];
        for (int i = 0; i < v.length; i++) {
            double way = reach[i] * up(v[i]);
            double d = g.array()[g.offset() + i] * ladder.slope(i, from[i] + way);
            if (!Double.isNaN(beta)) {
                double t = 2 * (way - Math.min((int) way, reach[i] - 1)) - 1;
                d -= regularization / v.length * 2 * beta * Math.pow(Math.abs(t), beta - 1) * Math.signum(t);
            }
            chained[i] = (float) (d * reach[i] * slope(v[i]));
        }
        steps.step(v, chained, rate);
        harden(false);
    }

    @Override
    public float[] variables() {
        return v.clone();
    }

    @Override
    public void restore(float[] variables) {
        System.arraycopy(variables, 0, v, 0, v.length);
        harden(false);
    }

    private int code(int i) {
        return from[i] + (int) (reach[i] * up(v[i]) + 0.5);
    }

    @Override
    public void harden(boolean hard) {
        float[] w = weight.value().array();
        for (int i = 0; i < v.length; i++) {
            w[i] = hard ? ladder.level(i, code(i)) : (float) ladder.at(i, from[i] + reach[i] * up(v[i]));
        }
    }

    @Override
    public void settle(WeightOperand operand) {
        harden(true);
        int[] codes = new int[v.length];
        for (int i = 0; i < codes.length; i++) {
            codes[i] = code(i);
        }
        ladder.settle(operand, codes);
    }
}
