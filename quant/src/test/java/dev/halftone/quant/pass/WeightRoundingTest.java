// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.quant.Quantization;
import dev.halftone.quant.Quantization.LayerReport;
import dev.halftone.quant.Quantization.Options;
import dev.halftone.quant.Scope;
import dev.halftone.quant.TinyNetwork;
import dev.halftone.quant.calibration.MinMax;
import dev.halftone.quant.calibration.Samples;
import dev.halftone.quant.calibration.Tails;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.quant.matrix.Matrix;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The properties of GPTQ, SQuant and HQQ over random layers. */
final class WeightRoundingTest {
    private static final long SEED = 11;

    private final SplittableRandom random = new SplittableRandom(SEED);

    private Tensor gaussian(int... dims) {
        Tensor t = Tensor.zeros(dims);
        for (int i = 0; i < t.size(); i++) {
            t.array()[i] = (float) random.nextGaussian();
        }
        return t;
    }

    private static UniformQuantizer minMax(Tensor w, int bits) {
        List<UniformGrid> grids = new ArrayList<>();
        for (int c = 0; c < w.dim(-1); c++) {
            grids.add(new MinMax().calibrate(Samples.ofChannel("w", w, c), bits, Tails.BOTH));
        }
        return new UniformQuantizer(grids);
    }

    /** Returns {@code X^T X / N} of inputs that have something in common. */
    private Matrix correlated(int n) {
        Matrix x = Matrix.zeros(4 * n, n);
        for (int i = 0; i < x.rows(); i++) {
            double common = 2 * random.nextGaussian();
            for (int j = 0; j < n; j++) {
                x.set(i, j, common + random.nextGaussian());
            }
        }
        return Matrix.zeros(n, n).plus(1.0 / x.rows(), x.transposed().times(x));
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 4})
    void gptqErrorIsTheSumOfItsSquaresAndBelowThatOfTheNearest(int bits) {
        Tensor w = gaussian(24, 5);
        UniformQuantizer quantizer = minMax(w, bits);
        Matrix h = Gptq.damped(correlated(24), 0.01);
        Gptq.Rounded rounded = Gptq.round(Matrix.of(w), quantizer, h);
        Matrix d = rounded.levels().plus(-1, Matrix.of(w));
        double error = d.dot(h.times(d));
        assertThat(error).as("seed %d", SEED).isCloseTo(rounded.squares(), within(1e-9 * error));
        Matrix nearest = Matrix.of(quantizer.fake(w)).plus(-1, Matrix.of(w));
        assertThat(error).as("seed %d", SEED).isLessThan(0.8 * nearest.dot(h.times(nearest)));
        // The levels are on the grid, so that packing keeps them.
        Tensor levels = rounded.levels().toTensor();
        assertThat(quantizer.fake(levels).toArray()).isEqualTo(levels.toArray());
    }

    @Test
    void gptqRoundsToTheNearestWhereInputsAreIndependent() {
        Tensor w = gaussian(17, 4);
        UniformQuantizer quantizer = minMax(w, 3);
        Matrix h = Matrix.zeros(17, 17);
        for (int i = 0; i < 17; i++) {
            h.set(i, i, 0.5 + random.nextDouble());
        }
        assertThat(Gptq.round(Matrix.of(w), quantizer, h).levels().toTensor().toArray())
                .isEqualTo(quantizer.fake(w).toArray());
    }

    @Test
    void gptqLowersTheOutputErrorOfEveryLayer() {
        TinyNetwork network = TinyNetwork.random(SEED);
        Quantization run =
                new Quantization(Compute.shared(), network, new Options(3, 4, Scope.BODY), TinyNetwork.images(SEED));
        new CalibrateActivations(new MinMax()).apply(run);
        new Gptq(0.01, 5).apply(run);
        assertThat(run.pack())
                .isNotEmpty()
                .allSatisfy(layer ->
                        assertThat(measure(layer, "roundingError")).isLessThan(measure(layer, "nearestError")));
    }

    private static double measure(LayerReport layer, String name) {
        return layer.measures().getOrDefault(name, Double.NaN);
    }

    /** Sums in levels: within half a level for channels, one for kernels, and every weight within one of the nearest. */
    @ParameterizedTest
    @ValueSource(ints = {3, 4, 6})
    void squantCancelsErrorsInKernelsAndChannels(int bits) {
        int in = 12;
        int taps = 9;
        for (int trial = 0; trial < 50; trial++) {
            double[] exact = new double[taps * in];
            int[] codes = new int[exact.length];
            int most = (1 << bits) - 1;
            for (int i = 0; i < exact.length; i++) {
                exact[i] = Math.clamp(most / 2.0 + most / 8.0 * random.nextGaussian(), 0, most);
                codes[i] = (int) Math.rint(exact[i]);
            }
            int[] nearest = codes.clone();
            SQuant.flip(exact, codes, taps, in, most);
            double channel = 0;
            for (int k = 0; k < in; k++) {
                double kernel = 0;
                for (int t = 0; t < taps; t++) {
                    int i = t * in + k;
                    kernel += codes[i] - exact[i];
                    assertThat(Math.abs(codes[i] - nearest[i])).isLessThanOrEqualTo(1);
                    assertThat(codes[i]).isBetween(0, most);
                    assertThat(Math.abs(codes[i] - exact[i])).isLessThan(1);
                }
                assertThat(Math.abs(kernel)).as("seed %d", SEED).isLessThanOrEqualTo(1 + 1e-9);
                channel += kernel;
            }
            assertThat(Math.abs(channel)).as("seed %d", SEED).isLessThanOrEqualTo(0.5 + 1e-9);
        }
    }

    /** The sum of a linear layer's errors too, which has no kernels. */
    @Test
    void squantCancelsErrorsOfLinearLayers() {
        Tensor w = gaussian(40, 6);
        UniformQuantizer quantizer = minMax(w, 4);
        Tensor rounded = SQuant.round(w, quantizer);
        for (int o = 0; o < 6; o++) {
            double sum = 0;
            for (int i = 0; i < 40; i++) {
                sum += (rounded.get(i, o) - w.get(i, o)) / quantizer.grid(o).scale();
            }
            assertThat(Math.abs(sum)).as("seed %d", SEED).isLessThanOrEqualTo(0.5 + 1e-3);
        }
        assertThat(quantizer.fake(rounded).toArray()).isEqualTo(rounded.toArray());
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 4})
    void hqqErrorFallsFromThatOfMinMax(int bits) {
        int improved = 0;
        for (int channel = 0; channel < 40; channel++) {
            float[] w = new float[64];
            float low = Float.POSITIVE_INFINITY;
            float high = Float.NEGATIVE_INFINITY;
            for (int i = 0; i < w.length; i++) {
                w[i] = (float) (0.1 * random.nextGaussian());
                low = Math.min(low, w[i]);
                high = Math.max(high, w[i]);
            }
            Hqq.Solved solved = Hqq.solve(w, bits);
            UniformGrid whole = new UniformGrid(bits, low, high);
            double first = 0;
            double last = 0;
            for (float v : w) {
                first += Math.abs(v - whole.level(whole.code(v))) / w.length;
                last += Math.abs(v - solved.grid().level(solved.grid().code(v))) / w.length;
            }
            assertThat(solved.errors().getFirst()).isCloseTo(first, within(1e-6));
            assertThat(solved.errors().getLast()).isCloseTo(last, within(1e-12));
            for (int i = 1; i < solved.errors().size(); i++) {
                assertThat(solved.errors().get(i)).isLessThan(solved.errors().get(i - 1));
            }
            improved += solved.errors().size() > 1 ? 1 : 0;
        }
        assertThat(improved).as("seed %d", SEED).isGreaterThan(10);
    }

    @Test
    void hqqTakesEqualWeights() {
        assertThat(Hqq.solve(new float[] {0.5f, 0.5f, 0.5f}, 2).errors().getLast())
                .isLessThan(0.5);
    }
}
