// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.quant.matrix.Cholesky;
import dev.halftone.quant.matrix.Matrix;
import dev.halftone.tensor.Tensor;
import java.util.Arrays;
import java.util.Comparator;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.IntStream;

/**
 * Gives groups of input channels that matter one bit more, and as many that matter little one bit less (SliM-LLM, Huang et al. 2024).
 * With {@code H = X^T X / N} of the calibration images, damped, and {@code H^-1 = U^T U}, the salience of a group is
 * {@code sum W_j^2 / U_jj^2} over its inputs {@code j}. The number of groups that are moved is the one of least output error with min-max grids.
 * Then the bounds of every group of every output are moved together by up to 10 % either way, to the least
 * {@code sum |e|^2.4 + (lambda - 1) sum_salient |e|^2.4}, where weights are salient whose {@code W^2 / U_jj^2} is more than 2 deviations
 * from the mean of the group; and weights are rounded as {@link Gptq} does, on these grids.
 *
 * <p>The published code chooses the number by the divergence of the softmax of outputs, which here are no logits, and fits grids again while
 * it rounds. A group of 1 bit has the levels of mean plus and minus the mean magnitude around it.
 *
 * @param inputs of a group at most, channels times taps
 * @param damping what is added to the diagonal of H, relative to its mean
 * @param lambda how much the errors of salient weights count, at least 1; the published default is 1
 */
public record SlimLlm(int inputs, double damping, double lambda) implements Pass {
    private static final double NORM = 2.4;
    private static final int CANDIDATES = 50;
    private static final double REACH = 0.1;

    /** Checks the ranges. */
    public SlimLlm {
        if (inputs < 1 || !(damping > 0) || !(lambda >= 1)) {
            throw new IllegalArgumentException(
                    "groups of " + inputs + " inputs, damping " + damping + ", lambda " + lambda);
        }
    }

    @Override
    public String id() {
        return "slim-llm(" + inputs + " inputs, lambda " + lambda + ")";
    }

    @Override
    public void apply(Quantization run) {
        Function<InputOperand, Matrix> grams = Gram.observe(run);
        run.storeWeights((weight, input) -> {
            return store(weight.values(), weight.bits(), grams.apply(input));
        });
    }

    /** The grids of every group of every output: the level of code {@code q} is {@code step q + low}, in half precision. */
    private static final class Grids {
        final ChannelGroups groups;
        final int[] bits;
        final float[][] low;
        final float[][] step;

        Grids(ChannelGroups groups, int[] bits, int out) {
            this.groups = groups;
            this.bits = bits;
            low = new float[bits.length][out];
            step = new float[bits.length][out];
        }

        void set(int group, int output, double lower, double upper) {
            low[group][output] = Halves.nearest(lower);
            step[group][output] = Halves.nearest((upper - lower) / ((1 << bits[group]) - 1));
        }

        double nearest(int row, int output, double value) {
            int group = groups.ofRow(row);
            float s = step[group][output];
            double code = s == 0 ? 0 : Math.rint((value - low[group][output]) / s);
            return s * (float) Math.clamp(code, 0, (1 << bits[group]) - 1) + low[group][output];
        }
    }

    /**
     * Returns the stored form of a weight.
     *
     * @param gram {@code X^T X / N} of its input
     */
    WeightFormat store(Tensor weight, int bits, Matrix gram) {
        Matrix w = Matrix.of(weight);
        Matrix h = Gptq.damped(gram, damping);
        Matrix salience = salience(w, h);
        ChannelGroups groups = ChannelGroups.of(weight.shape(), inputs);
        int[] allocated = allocate(w, salience, bits, h, groups);
        Grids grids = new Grids(groups, allocated, w.columns());
        for (int g = 0; g < groups.count(); g++) {
            calibrate(grids, g, w, salience);
        }
        Tensor rounded = Gptq.round(w, grids::nearest, h).levels().toTensor().reshape(weight.shape());
        return stored(rounded, grids);
    }

    /** Returns {@code W^2 / U_jj^2}. */
    static Matrix salience(Matrix w, Matrix h) {
        Matrix u = Cholesky.of(Cholesky.inverse(Cholesky.of(h))).transposed();
        Matrix salience = Matrix.zeros(w.rows(), w.columns());
        for (int j = 0; j < w.rows(); j++) {
            for (int o = 0; o < w.columns(); o++) {
                double v = w.get(j, o) / u.get(j, j);
                salience.set(j, o, v * v);
            }
        }
        return salience;
    }

    /** Returns the bits of each group. */
    static int[] allocate(Matrix w, Matrix salience, int bits, Matrix h, ChannelGroups groups) {
        double[] ofGroup = new double[groups.count()];
        for (int j = 0; j < w.rows(); j++) {
            for (int o = 0; o < w.columns(); o++) {
                ofGroup[groups.ofRow(j)] += salience.get(j, o);
            }
        }
        int[] rising = IntStream.range(0, ofGroup.length)
                .boxed()
                .sorted(Comparator.comparingDouble(g -> ofGroup[g]))
                .mapToInt(Integer::intValue)
                .toArray();
        int most = bits == 1 || bits == 8 ? 0 : Math.max(0, ofGroup.length / 2 - 1);
        int[] best = new int[ofGroup.length];
        double least = Double.POSITIVE_INFINITY;
        for (int moved = 0; moved <= most; moved++) {
            int[] allocated = new int[ofGroup.length];
            Arrays.fill(allocated, bits);
            for (int i = 0; i < moved; i++) {
                allocated[rising[i]]--;
                allocated[rising[rising.length - 1 - i]]++;
            }
            Grids grids = new Grids(groups, allocated, w.columns());
            for (int g = 0; g < allocated.length; g++) {
                for (int o = 0; o < w.columns(); o++) {
                    double[] range = range(grids, g, o, w);
                    grids.set(g, o, range[0], range[1]);
                }
            }
            Matrix d = Matrix.zeros(w.rows(), w.columns());
            for (int j = 0; j < w.rows(); j++) {
                for (int o = 0; o < w.columns(); o++) {
                    d.set(j, o, w.get(j, o) - grids.nearest(j, o, w.get(j, o)));
                }
            }
            double error = d.dot(h.times(d));
            if (error < least) {
                least = error;
                best = allocated;
            }
        }
        return best;
    }

    /** Returns the lowest and the highest level of a group of an output before it is calibrated. */
    private static double[] range(Grids grids, int group, int output, Matrix w) {
        double low = Double.POSITIVE_INFINITY;
        double high = Double.NEGATIVE_INFINITY;
        double sum = 0;
        int n = 0;
        for (int j = 0; j < w.rows(); j++) {
            if (grids.groups.ofRow(j) == group) {
                low = Math.min(low, w.get(j, output));
                high = Math.max(high, w.get(j, output));
                sum += w.get(j, output);
                n++;
            }
        }
        if (grids.bits[group] > 1) {
            return new double[] {low, high};
        }
        double size = 0;
        for (int j = 0; j < w.rows(); j++) {
            if (grids.groups.ofRow(j) == group) {
                size += Math.abs(w.get(j, output) - sum / n) / n;
            }
        }
        return new double[] {sum / n - size, sum / n + size};
    }

    /** Gives every output's grid of a group the factor of least loss. */
    private void calibrate(Grids grids, int group, Matrix w, Matrix salience) {
        double boundary = boundary(grids.groups, group, salience);
        for (int o = 0; o < w.columns(); o++) {
            double[] range = range(grids, group, o, w);
            double best = 1;
            double least = Double.POSITIVE_INFINITY;
            for (int i = 0; i <= 2 * CANDIDATES; i++) {
                // 1 first, so that it stays where nothing is better; then in turns above and below.
                int steps = (i + 1) / 2;
                double factor = 1 + (i % 2 == 0 ? -REACH : REACH) * steps / CANDIDATES;
                grids.set(group, o, factor * range[0], factor * range[1]);
                double loss = 0;
                for (int j = 0; j < w.rows(); j++) {
                    if (grids.groups.ofRow(j) == group) {
                        double e = Math.abs(w.get(j, o) - grids.nearest(j, o, w.get(j, o)));
                        loss += Math.pow(e, NORM) * (salience.get(j, o) >= boundary ? lambda : 1);
                    }
                }
                if (loss < least) {
                    least = loss;
                    best = factor;
                }
            }
            grids.set(group, o, best * range[0], best * range[1]);
        }
    }

    /** Returns the least salience of those more than two deviations from the mean of the group. */
    private static double boundary(ChannelGroups groups, int group, Matrix salience) {
        double sum = 0;
        double squares = 0;
        int n = 0;
        for (int j = 0; j < salience.rows(); j++) {
            for (int o = 0; groups.ofRow(j) == group && o < salience.columns(); o++) {
                sum += salience.get(j, o);
                squares += salience.get(j, o) * salience.get(j, o);
                n++;
            }
        }
        double mean = sum / n;
        // Salience is never negative and skewed: what is so far away is above the mean.
        return mean + 2 * Math.sqrt(Math.max(0, squares / n - mean * mean));
    }

    private static WeightFormat stored(Tensor rounded, Grids grids) {
        TreeSet<Integer> widths = new TreeSet<>();
        for (int bits : grids.bits) {
            widths.add(bits);
        }
        Integer[] ofPart = widths.toArray(Integer[]::new);
        int[] selector = new int[grids.bits.length];
        for (int g = 0; g < selector.length; g++) {
            selector[g] = Arrays.asList(ofPart).indexOf(grids.bits[g]);
        }
        return ofPart.length == 1
                ? codebook(rounded, grids, ofPart[0])
                : Composite.of(rounded, selector, ofPart.length, (p, own) -> codebook(own, grids, ofPart[p]));
    }

    /** Returns the groups that have so many bits. */
    private static Codebook codebook(Tensor rounded, Grids grids, int bits) {
        int[] own = IntStream.range(0, grids.bits.length)
                .filter(g -> grids.bits[g] == bits)
                .toArray();
        int out = rounded.dim(-1);
        Tensor step = Tensor.zeros(own.length, out);
        Tensor low = Tensor.zeros(own.length, out);
        for (int i = 0; i < own.length; i++) {
            for (int o = 0; o < out; o++) {
                step.set(grids.step[own[i]][o], i, o);
                low.set(grids.low[own[i]][o], i, o);
            }
        }
        return Codebook.nearest(rounded, Codebook.uniformLevels(bits), step, low);
    }
}
