// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.quant.matrix.Matrix;
import dev.halftone.quant.pass.UniQuanF.Output;
import dev.halftone.tensor.Shape;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The properties of UniQuanF over random layers. */
final class UniQuanFTest {
    private static final long SEED = 61;

    private final SplittableRandom random = new SplittableRandom(SEED);

    private double[] weights(int n) {
        return random.doubles(n, -1, 1).map(v -> 0.3 + v * v * v).toArray();
    }

    /** Sizes of {@code 2^(p - 1)} are the grid of min-max with a zero point that is no integer: rounding to the nearest. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4})
    void untrainedOnUniformLevelsItRoundsToTheNearest(int planes) {
        for (int layer = 0; layer < 50; layer++) {
            double[] w = weights(40);
            Output output = new Output(w, BinaryFit.uniform(w, planes));
            double low = Arrays.stream(w).min().orElseThrow();
            double step = (Arrays.stream(w).max().orElseThrow() - low) / ((1 << planes) - 1);
            for (int p = 0; p < planes; p++) {
                assertThat(output.sizes[p]).isCloseTo(Math.pow(2, p - 1), within(1e-12));
            }
            output.move();
            for (int i = 0; i < w.length; i++) {
                double code = Math.clamp(Math.rint((w[i] - low) / step), 0, (1 << planes) - 1);
                assertThat(output.value(i)).as("seed %d", SEED).isCloseTo(low + code * step, within(1e-12));
            }
        }
    }

    private Output trained(int planes, int steps) {
        double[] w = weights(30);
        Output output = new Output(w, FitBinaryCoding.fit(w, planes, 15, new ArrayList<>()));
        for (int step = 0; step < steps; step++) {
            output.step(random.doubles(30, -1, 1).toArray(), 5e-2, 5e-2);
            output.move();
        }
        return output;
    }

    /** Whatever was trained, a sum of signed scales stands for it. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4})
    void theTransformationCollapses(int planes) {
        for (int layer = 0; layer < 50; layer++) {
            Output output = trained(planes, 5);
            BinaryFit fit = BinaryFit.greedy(output.w, planes);
            output.collapse(fit);
            for (int i = 0; i < fit.size(); i++) {
                assertThat(fit.value(i)).as("seed %d", SEED).isCloseTo(output.value(i), within(1e-12));
            }
        }
    }

    @Test
    void aMoveGoesToANeighbourAtMost() {
        int moved = 0;
        for (int layer = 0; layer < 50; layer++) {
            Output output = trained(3, 3);
            double[] levels =
                    IntStream.range(0, 8).mapToDouble(output::level).sorted().toArray();
            for (int i = 0; i < 30; i++) {
                output.own[i] += random.nextDouble(-2, 2);
            }
            int[] before = output.codes.clone();
            output.move();
            for (int i = 0; i < 30; i++) {
                int from = Arrays.binarySearch(levels, output.level(before[i]));
                int to = Arrays.binarySearch(levels, output.level(output.codes[i]));
                assertThat(Math.abs(to - from)).isLessThanOrEqualTo(1);
                moved += Math.abs(to - from);
            }
        }
        assertThat(moved).isGreaterThan(100);
    }

    /** Gradients are those of the values if the level moved with {@code u}, by central differences. */
    @Test
    void gradientsPassStraightThroughTheLevels() {
        double e = 1e-6;
        int filtered = 0;
        for (int layer = 0; layer < 20; layer++) {
            Output output = trained(2, 4);
            output.own[3] += 3; // far from every level
            double[] v = random.doubles(30, -1, 1).toArray();
            double[][] g = output.gradients(v);
            double[] at =
                    IntStream.range(0, 30).mapToDouble(output::transformed).toArray();
            double least = Math.min(Math.abs(output.sizes[0]), Math.abs(output.sizes[1]));
            boolean[] passes = new boolean[30];
            for (int i = 0; i < 30; i++) {
                passes[i] = Math.abs(at[i] - output.level(output.codes[i])) <= least;
                filtered += passes[i] ? 0 : 1;
            }
            double[][] all = {output.logs, output.sizes, output.own};
            for (int k = 0; k < 3; k++) {
                for (int i = 0; i < all[k].length; i++) {
                    double middle = all[k][i];
                    all[k][i] = middle + e;
                    double above = surrogate(output, v, at, passes);
                    all[k][i] = middle - e;
                    double below = surrogate(output, v, at, passes);
                    all[k][i] = middle;
                    assertThat(g[k][i])
                            .as("seed %d, layer %d, parameter %d of kind %d", SEED, layer, i, k)
                            .isCloseTo((above - below) / (2 * e), within(1e-5 * (1 + Math.abs(g[k][i]))));
                }
            }
        }
        assertThat(filtered).isGreaterThan(10);
    }

    private static double surrogate(Output output, double[] v, double[] at, boolean[] passes) {
        double sum = 0;
        for (int i = 0; i < v.length; i++) {
            double moved = passes[i] ? output.transformed(i) - at[i] : 0;
            sum += v[i] * (output.value(i) + output.scale() * moved);
        }
        return sum;
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3})
    void trainingLowersTheOutputErrorAndKeepsTheBest(int planes) {
        double before = 0;
        double after = 0;
        for (int layer = 0; layer < 5; layer++) {
            int n = 32;
            double[][] columns = new double[6][];
            Arrays.setAll(columns, o -> weights(n));
            WeightColumns w = new WeightColumns(Shape.of(n, 6), columns);
            Matrix x = Matrix.zeros(80, n);
            for (int t = 0; t < 80; t++) {
                double last = random.nextGaussian();
                for (int j = 0; j < n; j++) {
                    last = 0.9 * last + 0.4 * random.nextGaussian();
                    x.set(t, j, last);
                }
            }
            Matrix h = x.transposed().times(x);
            List<BinaryFit> start = new ArrayList<>();
            for (double[] column : columns) {
                start.add(FitBinaryCoding.fit(column, planes, 15, new ArrayList<>()));
            }
            List<Double> errors = new ArrayList<>();
            List<BinaryFit> trained = new UniQuanF(15, 200, 5e-3, 5e-4).train(w, start, h, errors);
            assertThat(errors).hasSize(201);
            assertThat(errors.getFirst()).isCloseTo(error(start, columns, x), within(1e-9 * errors.getFirst()));
            for (int o = 0; o < 6; o++) {
                assertThat(error(trained.subList(o, o + 1), new double[][] {columns[o]}, x))
                        .isLessThanOrEqualTo(
                                (1 + 1e-9) * error(start.subList(o, o + 1), new double[][] {columns[o]}, x));
            }
            before += errors.getFirst();
            after += error(trained, columns, x);
        }
        assertThat(after).as("seed %d", SEED).isLessThan(0.7 * before);
    }

    private static double error(List<BinaryFit> fits, double[][] columns, Matrix x) {
        double error = 0;
        for (int o = 0; o < columns.length; o++) {
            for (int t = 0; t < x.rows(); t++) {
                double y = 0;
                for (int j = 0; j < x.columns(); j++) {
                    y += x.get(t, j) * (columns[o][j] - fits.get(o).value(j));
                }
                error += y * y;
            }
        }
        return error;
    }
}
