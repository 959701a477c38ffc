// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.matrix.Matrix;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.function.Function;
import java.util.stream.IntStream;

/**
 * Trains weights as uniform quantization does, on levels of binary coding, and stores planes of signs (UniQuanF, Park et al. 2025). For a weight
 * {@code w} of an output with the step {@code s}, {@code b} planes of sizes {@code a_p} in steps, and {@code m} the middle of the levels,
 *
 * <pre>{@code  u = w / (s e^(d + c)) - m,   k = the level sum_p (+-1) a_p near u,   wq = s (level_k + m) }</pre>
 *
 * where {@code d} is of each weight and {@code c} of each output, as in FlexRound. {@code s}, {@code a}, {@code c} and {@code d} are trained by
 * Adam against the output error of the layer on the calibration images; gradients pass straight through the choice of the level, but not
 * where {@code u} is farther than the least {@code a_p} from it. Every second step a weight may move to a neighbouring level. Whatever
 * was learnt, {@code wq} is a sum of signed scales {@code s a_p} and the offset {@code s m}, which is what is stored. It begins with
 * {@link FitBinaryCoding} and keeps the best that it had.
 *
 * <p>The paper trains on the outputs of blocks and mixes their inputs.
 *
 * @param rounds of the fit that it begins with
 * @param updates of Adam, all on the products of all inputs
 * @param rate of {@code ln s}, {@code c} and {@code d}, which falls as half a cosine; 5e-3 in the published settings
 * @param levelRate of {@code a}; 5e-4 in the published settings
 */
public record UniQuanF(int rounds, int updates, double rate, double levelRate) implements Pass {
    private static final int PERIOD = 2;

    /** Checks the ranges. */
    public UniQuanF {
        if (rounds < 1 || updates < 0 || !(rate > 0) || !(levelRate > 0)) {
            throw new IllegalArgumentException(
                    rounds + " rounds, " + updates + " updates at the rates " + rate + " and " + levelRate);
        }
    }

    @Override
    public String id() {
        return "uniquanf(" + rounds + " rounds, " + updates + " updates)";
    }

    @Override
    public void apply(Quantization run) {
        Function<InputOperand, Matrix> grams = Gram.observe(run);
        run.storeWeights((weight, input) -> {
            WeightColumns columns = WeightColumns.of(weight.values());
            List<BinaryFit> start = new ArrayList<>();
            for (int o = 0; o < columns.out(); o++) {
                start.add(FitBinaryCoding.fit(columns.column(o), weight.bits(), rounds, new ArrayList<>()));
            }
            return columns.binaryCoding(train(columns, start, grams.apply(input), new ArrayList<>()));
        });
    }

    /** Adam on some numbers. */
    private static final class Adam {
        private final double[] mean;
        private final double[] square;
        private int step;

        Adam(int size) {
            mean = new double[size];
            square = new double[size];
        }

        void step(double[] values, double[] gradient, double rate) {
            step++;
            for (int i = 0; i < values.length; i++) {
                mean[i] = 0.9 * mean[i] + 0.1 * gradient[i];
                square[i] = 0.999 * square[i] + 0.001 * gradient[i] * gradient[i];
                double m = mean[i] / (1 - Math.pow(0.9, step));
                double v = square[i] / (1 - Math.pow(0.999, step));
                values[i] -= rate * m / (Math.sqrt(v) + 1e-12);
            }
        }
    }

    /** An output: what is trained, and where its weights are. */
    static final class Output {
        final double[] w;
        final int planes;
        final double middle;
        final double step;
        /** Of {@code ln s} beyond the step that it began with, of {@code c}, of {@code a}, and of {@code d}. */
        final double[] logs = new double[2];

        final double[] sizes;
        final double[] own;
        final int[] codes;
        private final Adam[] adams;

        /** Begins at a fit, whose levels are in units of the min-max step. */
        Output(double[] w, BinaryFit start) {
            this.w = w;
            planes = start.planes();
            double range =
                    Arrays.stream(w).max().orElse(0) - Arrays.stream(w).min().orElse(0);
            step = range > 0 ? range / ((1 << planes) - 1) : 1;
            middle = start.offset() / step;
            sizes = IntStream.range(0, planes)
                    .mapToDouble(p -> start.scale(p) / step)
                    .toArray();
            own = new double[w.length];
            codes = IntStream.range(0, w.length).map(start::code).toArray();
            adams = new Adam[] {new Adam(logs.length), new Adam(planes), new Adam(w.length)};
        }

        double scale() {
            return step * Math.exp(logs[0]);
        }

        double level(int code) {
            double level = 0;
            for (int p = 0; p < planes; p++) {
                level += (code >> p & 1) == 1 ? sizes[p] : -sizes[p];
            }
            return level;
        }

        double transformed(int i) {
            return w[i] / (scale() * Math.exp(own[i] + logs[1])) - middle;
        }

        double value(int i) {
            return scale() * (level(codes[i]) + middle);
        }

        /** Moves every weight to the nearest of its level and the two beside it. */
        void move() {
            Integer[] rising = new Integer[1 << planes];
            Arrays.setAll(rising, code -> code);
            Arrays.sort(rising, Comparator.comparingDouble(this::level));
            int[] place = new int[rising.length];
            double[] levels = new double[rising.length];
            for (int k = 0; k < rising.length; k++) {
                place[rising[k]] = k;
                levels[k] = level(rising[k]);
            }
            for (int i = 0; i < w.length; i++) {
                double u = transformed(i);
                int here = place[codes[i]];
                int best = here;
                for (int k = Math.max(0, here - 1); k <= Math.min(levels.length - 1, here + 1); k++) {
                    if (Math.abs(levels[k] - u) < Math.abs(levels[best] - u)) {
                        best = k;
                    }
                }
                codes[i] = rising[best];
            }
        }

        /** Returns the gradients of {@code logs}, {@code sizes} and {@code own}, given those of the values. */
        double[][] gradients(double[] ofValues) {
            double[][] g = {new double[2], new double[planes], new double[w.length]};
            double least = Arrays.stream(sizes).map(Math::abs).min().orElse(0);
            double s = scale();
            for (int i = 0; i < w.length; i++) {
                double u = transformed(i);
                // d wq / du = s, straight through; and du / d (an exponent) = -(u + m).
                double through = Math.abs(u - level(codes[i])) > least ? 0 : -s * (u + middle) * ofValues[i];
                g[0][0] += through + value(i) * ofValues[i];
                g[0][1] += through;
                g[2][i] = through;
                for (int p = 0; p < planes; p++) {
                    g[1][p] += ((codes[i] >> p & 1) == 1 ? s : -s) * ofValues[i];
                }
            }
            return g;
        }

        void step(double[] ofValues, double rate, double levelRate) {
            double[][] g = gradients(ofValues);
            adams[0].step(logs, g[0], rate);
            adams[1].step(sizes, g[1], levelRate);
            adams[2].step(own, g[2], rate);
        }

        /** Writes what all of it is without the transformation into a fit: scales {@code s a_p} and the offset {@code s m}. */
        void collapse(BinaryFit into) {
            double s = scale();
            into.set(s * middle, Arrays.stream(sizes).map(a -> s * a).toArray());
            for (int i = 0; i < codes.length; i++) {
                into.set(i, codes[i]);
            }
        }
    }

    /**
     * Trains all outputs of a layer.
     *
     * @param h {@code X^T X / N} of the input
     * @param errors gets the output error before every step and after the last
     */
    List<BinaryFit> train(WeightColumns w, List<BinaryFit> start, Matrix h, List<Double> errors) {
        int out = w.out();
        List<Output> outputs = IntStream.range(0, out)
                .mapToObj(o -> new Output(w.column(o), start.get(o)))
                .toList();
        List<BinaryFit> best = start.stream().map(BinaryFit::copy).toList();
        double[] least = new double[out];
        Arrays.fill(least, Double.POSITIVE_INFINITY);
        for (int step = 0; step <= updates; step++) {
            if (step % PERIOD == PERIOD - 1) {
                outputs.forEach(Output::move);
            }
            Matrix e = Matrix.zeros(w.rows(), out);
            for (int o = 0; o < out; o++) {
                for (int r = 0; r < w.rows(); r++) {
                    e.set(r, o, outputs.get(o).value(r) - w.column(o)[r]);
                }
            }
            Matrix product = h.times(e);
            double sum = 0;
            double falling = (1 + Math.cos(Math.PI * step / Math.max(1, updates))) / 2;
            for (int o = 0; o < out; o++) {
                double[] gradient = new double[w.rows()];
                double error = 0;
                for (int r = 0; r < w.rows(); r++) {
                    gradient[r] = 2 * product.get(r, o);
                    error += e.get(r, o) * product.get(r, o);
                }
                sum += error;
                if (error < least[o]) {
                    least[o] = error;
                    outputs.get(o).collapse(best.get(o));
                }
                if (step < updates) {
                    outputs.get(o).step(gradient, rate * falling, levelRate * falling);
                }
            }
            errors.add(sum);
        }
        return best;
    }
}
