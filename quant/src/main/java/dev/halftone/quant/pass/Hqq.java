// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.SiteState;
import dev.halftone.quant.WeightOperand;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.ArrayList;
import java.util.List;

/**
 * Half-quadratic quantization (Badri and Shaji 2023): moves each output channel's grid, whose step is that of min-max, to where the errors
 * have the least {@code l_p} norm, p = 0.7, which forgives outliers. It needs no data. With {@code W_q} the codes, {@code W_r} their
 * levels and {@code s} the inverse of the step, a round is
 *
 * <pre>{@code  E = shrink(W - W_r),  shrink(x) = sign(x) max(|x| - |x|^(p-1) / beta, 0),  z = mean(W_q - (W - E) s) }</pre>
 *
 * and beta grows. It ends when the mean absolute error no longer falls; the best z is kept.
 *
 * <p>The published code works on groups of 64 weights, here a group is an output channel, which is what packed kernels take.
 */
public record Hqq() implements Pass {
    private static final int ROUNDS = 20;
    private static final double P = 0.7;
    private static final double BETA = 10;
    private static final double GROWTH = 1.01;

    /**
     * The course of a channel.
     *
     * @param grid the best
     * @param errors the mean absolute error of every round's grid, the best one last
     */
    record Solved(UniformGrid grid, List<Double> errors) {}

    @Override
    public String id() {
        return "hqq";
    }

    @Override
    public void apply(Quantization run) {
        for (SiteState site : run.sites()) {
            for (WeightOperand weight : site.weights()) {
                Tensor w = weight.values();
                int out = w.dim(-1);
                List<UniformGrid> grids = new ArrayList<>();
                for (int o = 0; o < out; o++) {
                    float[] channel = new float[w.size() / out];
                    for (int i = 0; i < channel.length; i++) {
                        channel[i] = w.array()[w.offset() + i * out + o];
                    }
                    grids.add(solve(channel, weight.bits()).grid());
                }
                weight.quantize(new UniformQuantizer(grids));
            }
        }
    }

    /** Returns the grid of some weights. */
    static Solved solve(float[] w, int bits) {
        int last = (1 << bits) - 1;
        double low = Double.POSITIVE_INFINITY;
        double high = Double.NEGATIVE_INFINITY;
        for (float v : w) {
            low = Math.min(low, v);
            high = Math.max(high, v);
        }
        // A channel of equal weights has no range; any step will do.
        double step = high > low ? (high - low) / last : Math.max(Math.abs(low), 1) / last;
        double z = -low / step;
        List<Double> errors = new ArrayList<>();
        double beta = BETA;
        UniformGrid best = grid(z, step, bits);
        errors.add(error(w, best));
        for (int round = 0; round < ROUNDS; round++) {
            double sum = 0;
            for (float v : w) {
                double code = Math.clamp(Math.rint(v / step + z), 0, last);
                double d = v - (code - z) * step;
                double magnitude = Math.abs(d);
                double shrunk = magnitude == 0 ? 0 : Math.max(magnitude - Math.pow(magnitude, P - 1) / beta, 0);
                sum += code - (v - Math.copySign(shrunk, d)) / step;
            }
            z = sum / w.length;
            beta *= GROWTH;
            UniformGrid moved = grid(z, step, bits);
            double error = error(w, moved);
            if (error >= errors.getLast()) {
                break;
            }
            errors.add(error);
            best = moved;
        }
        return new Solved(best, errors);
    }

    private static UniformGrid grid(double z, double step, int bits) {
        return new UniformGrid(bits, (float) (-z * step), (float) (((1 << bits) - 1 - z) * step));
    }

    private static double error(float[] w, UniformGrid grid) {
        double sum = 0;
        for (float v : w) {
            sum += Math.abs(v - grid.level(grid.code(v)));
        }
        return sum / w.length;
    }
}
