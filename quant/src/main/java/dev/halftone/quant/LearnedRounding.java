// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.Gradients;
import dev.halftone.nn.Parameter;
import dev.halftone.nn.Value;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;

/**
 * Learns for every weight whether it is rounded down or up (AdaRound, Nagel et al. 2020): with the code {@code f} below the weight,
 *
 * <pre>{@code  w(v) = level(f + h(v)),   h(v) = clamp(sigmoid(v) (zeta - gamma) + gamma, 0, 1),   gamma = -0.1, zeta = 1.1}</pre>
 *
 * which begins at the weight itself, up to clipping. A regulariser, the mean over all weights of {@code 1 - |2 h - 1|^beta}, drives {@code
 * h} to 0 or 1, weakly at first: it is 0 for a fifth of the training, and then beta falls from 20 to 2. In the end {@code v >= 0} is
 * rounded up.
 */
final class LearnedRounding implements LearnedWeight {
    static final double GAMMA = -0.1;
    static final double ZETA = 1.1;
    private static final double WARM_UP = 0.2;
    private static final double FIRST_BETA = 20;
    private static final double LAST_BETA = 2;

    private final Parameter weight;
    private final UniformQuantizer quantizer;
    private final double regularization;
    private final int[] below;
    private final float[] v;
    private final AdamSteps steps;

    /**
     * Begins at the values of a weight.
     *
     * @param weight where the weight as it is at present is kept
     * @param regularization how much the regulariser counts
     */
    LearnedRounding(Parameter weight, Tensor values, UniformQuantizer quantizer, double regularization) {
        this.weight = weight;
        this.quantizer = quantizer;
        this.regularization = regularization;
        int n = values.size();
        below = new int[n];
        v = new float[n];
        steps = new AdamSteps(n);
        for (int i = 0; i < n; i++) {
            UniformGrid grid = grid(i);
            double u = Math.clamp(
                    ((double) values.array()[values.offset() + i] - grid.lower()) / grid.scale(), 0, grid.maxCode());
            below[i] = Math.min((int) u, grid.maxCode() - 1);
            v[i] = (float) -Math.log((ZETA - GAMMA) / (u - below[i] - GAMMA) - 1);
        }
        harden(false);
    }

    private UniformGrid grid(int i) {
        return quantizer.grid(i % weight.value().dim(-1));
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
            double d = g.array()[g.offset() + i] * (double) grid(i).scale();
            if (!Double.isNaN(beta)) {
                double t = 2 * up(v[i]) - 1;
                d -= regularization / v.length * 2 * beta * Math.pow(Math.abs(t), beta - 1) * Math.signum(t);
            }
            chained[i] = (float) (d * slope(v[i]));
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

    @Override
    public void harden(boolean hard) {
        float[] w = weight.value().array();
        for (int i = 0; i < v.length; i++) {
            UniformGrid grid = grid(i);
            w[i] = hard
                    ? grid.level(below[i] + (v[i] >= 0 ? 1 : 0))
                    : (float) (grid.lower() + grid.scale() * (below[i] + up(v[i])));
        }
    }

    @Override
    public void settle(WeightOperand operand) {
        harden(true);
        operand.setValues(weight.value().copy());
        operand.quantize(quantizer);
    }
}
