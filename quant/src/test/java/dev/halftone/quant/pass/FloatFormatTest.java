// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.quant.calibration.MeanSquaredError;
import dev.halftone.quant.calibration.MinMax;
import dev.halftone.quant.calibration.Samples;
import dev.halftone.quant.calibration.Tails;
import dev.halftone.quant.format.Codebook;
import dev.halftone.quant.format.LevelQuantizer;
import dev.halftone.tensor.Levels;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** Small floating-point formats, and what is chosen of them for inputs and weights. */
final class FloatFormatTest {
    private static final long SEED = 23;

    private final SplittableRandom random = new SplittableRandom(SEED);

    private static double[] positive(int exponent, int mantissa) {
        return new FloatFormat(false, exponent, mantissa).levels();
    }

    @Test
    void fourBitsHaveTheLevelsOfTheirFormat() {
        assertThat(positive(2, 1)).containsExactly(0, 0.5, 1, 1.5, 2, 3, 4, 6);
        assertThat(positive(1, 2)).containsExactly(0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5);
        assertThat(positive(3, 0)).containsExactly(0, 0.25, 0.5, 1, 2, 4, 8, 16);
        assertThat(positive(2, 2)).containsExactly(0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 5, 6, 7);
        assertThat(positive(3, 1)).containsExactly(0, 0.125, 0.25, 0.375, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24);
        assertThat(new FloatFormat(true, 2, 1).levels())
                .containsExactly(-6, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6);
        assertThatThrownBy(() -> new FloatFormat(true, 0, 3)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void aSignCostsOneLevelAndOneExponentBitIsAnEvenGrid() {
        for (int bits = 1; bits <= 8; bits++) {
            assertThat(FloatFormat.of(bits, true)).hasSize(Math.min(bits - 1, 3));
            for (boolean signed : new boolean[] {false, true}) {
                for (FloatFormat format : FloatFormat.of(bits, signed)) {
                    assertThat(format.bits()).isEqualTo(bits);
                    double[] levels = format.levels();
                    assertThat(Arrays.stream(levels).distinct().count()).isEqualTo((1L << bits) - (signed ? 1 : 0));
                    assertThat(levels).isSorted();
                    double step = (levels[levels.length - 1] - levels[0]) / (levels.length - 1);
                    double unevenness = 0;
                    for (int i = 0; i < levels.length; i++) {
                        unevenness = Math.max(unevenness, Math.abs(levels[0] + i * step - levels[i]));
                    }
                    assertThat(unevenness == 0).as(format.toString()).isEqualTo(format.isEven() || levels.length <= 3);
                }
            }
        }
    }

    private Samples inputs(int kind) {
        Tensor x = Tensor.zeros(600);
        double scale = Math.exp(random.nextDouble(-4, 4));
        for (int i = 0; i < x.size(); i++) {
            double v = random.nextGaussian();
            double shaped = switch (kind) {
                case 0 -> v;
                case 1 -> Math.max(v, 0);
                case 2 -> v < 0 ? 0.1 * v : v * v;
                case 3 -> Math.exp(2 * v);
                default -> -5 - Math.abs(v);
            };
            x.set((float) (scale * shaped), i);
        }
        return Samples.of("x", x);
    }

    /** Even grids are among the formats, so none of the searches for an even grid finds less; and no larger value gets a smaller level. */
    @Test
    void inputsErrNoMoreThanOnEvenGrids() {
        int tables = 0;
        for (int trial = 0; trial < 60; trial++) {
            Samples x = inputs(trial % 5);
            int bits = 1 + trial % 5;
            Levels chosen = CalibrateFloats.choose(x, bits);
            double error = x.squaredError(chosen);
            // Ranges are 2 % apart here, so a search of steps of 1 % has half of its ranges here, too.
            UniformGrid whole = new MinMax().calibrate(x, bits, Tails.BOTH);
            assertThat(error).as("seed %d, trial %d", SEED, trial).isLessThanOrEqualTo(x.squaredError(whole));
            float fixed = Math.clamp(0f, whole.lower(), whole.upper());
            for (int i = 0; i < CalibrateFloats.RATIOS; i++) {
                double ratio = 1 - 0.02 * i;
                UniformGrid grid =
                        new UniformGrid(bits, (float) (fixed + ratio * ((double) whole.lower() - fixed)), (float)
                                (fixed + ratio * ((double) whole.upper() - fixed)));
                assertThat(error).as("seed %d, trial %d", SEED, trial).isLessThanOrEqualTo(x.squaredError(grid));
            }
            assertThat(error)
                    .isLessThan(1.05 * x.squaredError(new MeanSquaredError(79).calibrate(x, bits, Tails.BOTH)));
            float before = Float.NEGATIVE_INFINITY;
            for (int i = 0; i <= 1000; i++) {
                float v = whole.lower() + (whole.upper() - whole.lower()) * i / 1000;
                float level = chosen.level(chosen.code(v));
                assertThat(level).isGreaterThanOrEqualTo(before);
                before = level;
            }
            assertThat(chosen.bits()).isEqualTo(bits);
            tables += chosen instanceof UniformGrid ? 0 : 1;
        }
        // Long tails have formats with more exponent bits.
        assertThat(tables).isBetween(10, 50);
    }

    @Test
    void aConstantInputHasItsLevel() {
        for (float v : new float[] {0, -3, 100.01f}) {
            Samples x = Samples.of("x", Tensor.zeros(10).fill(v));
            assertThat(x.squaredError(CalibrateFloats.choose(x, 4))).isZero();
        }
    }

    /** No format with a sign is more than one of the candidates away from the best scale; weights are no worse than on symmetric even grids. */
    @Test
    void weightsErrNoMoreThanOnSymmetricEvenGrids() {
        for (int bits = 1; bits <= 6; bits++) {
            Tensor w = Tensor.zeros(3, 3, 8, 5);
            for (int i = 0; i < w.size(); i++) {
                w.array()[i] = (float) (0.1 * (1 + i % 5) * Math.pow(random.nextGaussian(), 3));
            }
            Codebook stored = RoundToFloats.round(w, bits);
            assertThat(stored.bits()).isEqualTo(bits);
            Tensor q = stored.dequantize();
            double[] error = new double[5];
            for (int i = 0; i < w.size(); i++) {
                error[i % 5] += Math.pow(w.array()[i] - q.array()[i], 2);
            }
            double even = 0;
            for (int c = 0; c < 5; c++) {
                Samples channel = Samples.ofChannel("w", w, c);
                float reach = Math.max(-channel.min(), channel.max());
                int most = Math.max(1, (1 << (bits - 1)) - 1);
                for (float v : values(w, c)) {
                    double scaled = (double) v / reach * most;
                    double code = bits == 1 ? Math.copySign(1, v) : Math.rint(scaled);
                    even += Math.pow(v - code * reach / most, 2);
                }
            }
            assertThat(Arrays.stream(error).sum())
                    .as("seed %d, %d bits", SEED, bits)
                    .isLessThan(even);
        }
    }

    private static float[] values(Tensor w, int channel) {
        float[] values = new float[w.size() / w.dim(-1)];
        for (int i = 0; i < values.length; i++) {
            values[i] = w.array()[i * w.dim(-1) + channel];
        }
        return values;
    }

    @Test
    void probabilitiesBecomePowersOfTheRootOfTwo() {
        for (int bits = 1; bits <= 8; bits++) {
            float[] levels = LogarithmicProbabilities.levels(bits, 0.5).table().toArray();
            assertThat(levels[0]).isZero();
            assertThat(levels[levels.length - 1]).isEqualTo(0.5f);
            assertThat(levels.length).isLessThanOrEqualTo(1 << bits);
            for (int i = levels.length - 1; i > 1 && levels[i] > 1e-3f; i--) {
                assertThat((double) levels[i] / levels[i - 1]).isCloseTo(Math.sqrt(2), within(2e-3));
            }
        }
        for (int trial = 0; trial < 20; trial++) {
            Samples x = inputs(3);
            LevelQuantizer whole = LogarithmicProbabilities.levels(4, x.max());
            assertThat(x.squaredError(LogarithmicProbabilities.choose(x, 4).table()))
                    .isLessThanOrEqualTo(x.squaredError(whole.table()));
        }
    }
}
