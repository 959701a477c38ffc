// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.format.ChannelGroups;
import dev.halftone.quant.format.WeightFormat;
import dev.halftone.quant.matrix.Cholesky;
import dev.halftone.quant.matrix.Matrix;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.util.Arrays;
import java.util.Comparator;
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
 * <p>For SliM-LLM+, whose ranges are learned afterwards ({@link LearnedGroupClipping}), weights are rounded to the nearest of the whole ranges.
 *
 * @param inputs of a group at most, channels times taps
 * @param damping what is added to the diagonal of H, relative to its mean
 * @param lambda how much the errors of salient weights count, at least 1; the published default is 1
 * @param rounding of weights
 */
public record SlimLlm(int inputs, double damping, double lambda, Rounding rounding) implements Pass {
    /** How weights are rounded, once groups have their bits. */
    public enum Rounding {
        /** As GPTQ does, with bounds moved for salient weights. */
        COMPENSATED,
        /** To the nearest, between the smallest and the largest of a group. */
        NEAREST
    }

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
        return "slim-llm(" + inputs + " inputs, "
                + (rounding == Rounding.NEAREST ? "nearest)" : "lambda " + lambda + ")");
    }

    @Override
    public void apply(Quantization run) {
        Function<InputOperand, Matrix> grams = Gram.observe(run);
        run.storeWeights((weight, input) -> {
            return store(weight.values(), weight.bits(), grams.apply(input));
        });
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
        GroupGrids grids = new GroupGrids(groups, allocated, w.columns());
        if (rounding == Rounding.NEAREST) {
            return nearest(w, grids, weight.shape());
        }
        for (int g = 0; g < groups.count(); g++) {
            calibrate(grids, g, w, salience);
        }
        Tensor rounded = Gptq.round(w, grids::nearest, h).levels().toTensor().reshape(weight.shape());
        return grids.stored(rounded);
    }

    private static WeightFormat nearest(Matrix w, GroupGrids grids, Shape shape) {
        for (int g = 0; g < grids.groups().count(); g++) {
            for (int o = 0; o < w.columns(); o++) {
                grids.set(g, o, grids.range(g, o, w));
            }
        }
        Tensor rounded = Tensor.zeros(shape);
        for (int i = 0; i < rounded.size(); i++) {
            int row = i / w.columns();
            int output = i % w.columns();
            rounded.array()[i] = (float) grids.nearest(row, output, w.get(row, output));
        }
        return grids.stored(rounded);
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
            GroupGrids grids = new GroupGrids(groups, allocated, w.columns());
            for (int g = 0; g < allocated.length; g++) {
                for (int o = 0; o < w.columns(); o++) {
                    grids.set(g, o, grids.range(g, o, w));
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

    /** Gives every output's grid of a group the factor of least loss. */
    private void calibrate(GroupGrids grids, int group, Matrix w, Matrix salience) {
        ChannelGroups groups = grids.groups();
        double boundary = boundary(groups, group, salience);
        for (int o = 0; o < w.columns(); o++) {
            GroupGrids.Range range = grids.range(group, o, w);
            double best = 1;
            double least = Double.POSITIVE_INFINITY;
            for (int i = 0; i <= 2 * CANDIDATES; i++) {
                // 1 first, so that it stays where nothing is better; then in turns above and below.
                int steps = (i + 1) / 2;
                double factor = 1 + (i % 2 == 0 ? -REACH : REACH) * steps / CANDIDATES;
                grids.set(group, o, range.times(factor));
                double loss = 0;
                for (int j = 0; j < w.rows(); j++) {
                    if (groups.ofRow(j) == group) {
                        double e = Math.abs(w.get(j, o) - grids.nearest(j, o, w.get(j, o)));
                        loss += Math.pow(e, NORM) * (salience.get(j, o) >= boundary ? lambda : 1);
                    }
                }
                if (loss < least) {
                    least = loss;
                    best = factor;
                }
            }
            grids.set(group, o, range.times(best));
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
}
