// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.quant.Quantization;
import dev.halftone.quant.Quantization.LayerReport;
import dev.halftone.quant.Quantization.Options;
import dev.halftone.quant.Scope;
import dev.halftone.quant.TinyNetwork;
import dev.halftone.quant.WeightOperand;
import dev.halftone.quant.format.ChannelGroups;
import dev.halftone.quant.format.Codebook;
import dev.halftone.quant.format.Composite;
import dev.halftone.quant.format.FullPrecision;
import dev.halftone.quant.format.Halves;
import dev.halftone.quant.format.Outliers;
import dev.halftone.quant.format.WeightFormat;
import dev.halftone.quant.matrix.Matrix;
import dev.halftone.quant.pass.SlimLlm.Rounding;
import dev.halftone.quant.recipe.Recipes;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The properties of SliM-LLM, PTQ1.61 and GWQ over random layers. */
final class MixedPartsTest {
    private static final long SEED = 51;

    private final SplittableRandom random = new SplittableRandom(SEED);

    private Tensor gaussian(int... dims) {
        Tensor t = Tensor.zeros(dims);
        for (int i = 0; i < t.size(); i++) {
            t.array()[i] = (float) (0.1 * random.nextGaussian());
        }
        return t;
    }

    /** Returns {@code X^T X / N} of inputs of very different sizes that have something in common. */
    private Matrix gram(int n) {
        Matrix x = Matrix.zeros(4 * n, n);
        double[] size = random.doubles(n, -2, 2).map(Math::exp).toArray();
        for (int i = 0; i < x.rows(); i++) {
            double common = random.nextGaussian();
            for (int j = 0; j < n; j++) {
                x.set(i, j, size[j] * (common + random.nextGaussian()));
            }
        }
        return Matrix.zeros(n, n).plus(1.0 / x.rows(), x.transposed().times(x));
    }

    private static double outputError(Tensor w, Tensor q, Matrix h) {
        Matrix d = Matrix.of(w).plus(-1, Matrix.of(q));
        return d.dot(h.times(d));
    }

    /** As many groups get a bit as lose one, those that get it are the more salient ones, and the bits stay on average. */
    @ParameterizedTest
    @ValueSource(ints = {2, 3, 4})
    void slimKeepsTheBitsOnAverageAndGivesThemToSalientGroups(int bits) {
        int moved = 0;
        for (int layer = 0; layer < 20; layer++) {
            Matrix w = Matrix.of(gaussian(32, 5));
            Matrix h = Gptq.damped(gram(32), 0.01);
            Matrix salience = SlimLlm.salience(w, h);
            ChannelGroups groups = new ChannelGroups(32, 8);
            int[] allocated = SlimLlm.allocate(w, salience, bits, h, groups);
            assertThat(Arrays.stream(allocated).sum()).as("seed %d", SEED).isEqualTo(8 * bits);
            double[] ofGroup = new double[8];
            for (int j = 0; j < 32; j++) {
                for (int o = 0; o < 5; o++) {
                    ofGroup[j / 4] += salience.get(j, o);
                }
            }
            for (int a = 0; a < 8; a++) {
                assertThat(allocated[a]).isBetween(bits - 1, bits + 1);
                for (int b = 0; b < 8; b++) {
                    if (ofGroup[a] > ofGroup[b]) {
                        assertThat(allocated[a]).isGreaterThanOrEqualTo(allocated[b]);
                    }
                }
            }
            moved += Arrays.stream(allocated).anyMatch(b -> b != bits) ? 1 : 0;
        }
        assertThat(moved).isGreaterThan(5);
    }

    /** The diagonal of the factor is that of a Cholesky factor of the inverse: 1 / H for independent inputs. */
    @Test
    void salienceIsThatOfTheInverse() {
        Matrix h = Matrix.zeros(4, 4);
        for (int j = 0; j < 4; j++) {
            h.set(j, j, j + 1);
        }
        Matrix w = Matrix.of(gaussian(4, 3));
        Matrix salience = SlimLlm.salience(w, h);
        for (int j = 0; j < 4; j++) {
            assertThat(salience.get(j, 2)).isCloseTo(w.get(j, 2) * w.get(j, 2) * (j + 1), within(1e-12));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 4})
    void slimHasLessOutputErrorThanGroupsRoundedToTheNearest(int bits) {
        double slim = 0;
        double rtn = 0;
        for (int layer = 0; layer < 10; layer++) {
            Tensor w = gaussian(32, 5);
            Matrix gram = gram(32);
            slim += outputError(
                    w,
                    new SlimLlm(4, 0.01, 2, Rounding.COMPENSATED)
                            .store(w, bits, gram)
                            .dequantize(),
                    gram);
            rtn += outputError(
                    w, Codebook.minMax(w, w, bits, new ChannelGroups(32, 8)).dequantize(), gram);
        }
        assertThat(slim).as("seed %d", SEED).isLessThan(0.7 * rtn);
    }

    /** What SliM-LLM+ begins with: the same bits, each group rounded to the nearest between its smallest and its largest weight. */
    @Test
    void slimPlusHasTheSameBits() {
        Tensor w = gaussian(32, 5);
        Matrix gram = gram(32);
        WeightFormat slim = new SlimLlm(4, 0.01, 2, Rounding.COMPENSATED).store(w, 3, gram);
        WeightFormat plus = new SlimLlm(4, 0.01, 2, Rounding.NEAREST).store(w, 3, gram);
        assertThat(plus.tag()).isEqualTo(slim.tag());
        assertThat(plus.storedBits()).isEqualTo(slim.storedBits());
        GroupGrids of = GroupGrids.of(plus);
        int bits = 0;
        for (int g = 0; g < 8; g++) {
            assertThat(of.bits(g)).isEqualTo(GroupGrids.of(slim).bits(g));
            bits += of.bits(g);
        }
        assertThat(bits).as("seed %d", SEED).isEqualTo(8 * 3);
        float[] rounded = plus.dequantize().toArray();
        for (int i = 0; i < rounded.length; i++) {
            int group = i / 5 / 4;
            float low = Float.POSITIVE_INFINITY;
            float high = Float.NEGATIVE_INFINITY;
            for (int j = 4 * group; j < 4 * group + 4; j++) {
                low = Math.min(low, w.get(j, i % 5));
                high = Math.max(high, w.get(j, i % 5));
            }
            float step = (high - low) / ((1 << of.bits(group)) - 1);
            assertThat(rounded[i]).isCloseTo(w.array()[i], within(step * 0.51f + 1e-4f));
        }
    }

    /** With one group, nothing can be moved; with independent inputs GPTQ rounds to the nearest: what is left is the search of bounds. */
    @Test
    void slimOfOneGroupIsASearchOfBoundsByTenPercent() {
        Tensor w = gaussian(24, 6);
        Matrix h = Matrix.identity(24);
        Codebook stored = (Codebook) new SlimLlm(24, 0.01, 1, Rounding.COMPENSATED).store(w, 3, h);
        Codebook minMax = Codebook.minMax(w, w, 3, new ChannelGroups(24, 1));
        for (int o = 0; o < 6; o++) {
            double best = Double.POSITIVE_INFINITY;
            double bestFactor = 0;
            double low = Double.POSITIVE_INFINITY;
            double high = Double.NEGATIVE_INFINITY;
            for (int i = 0; i < 24; i++) {
                low = Math.min(low, w.get(i, o));
                high = Math.max(high, w.get(i, o));
            }
            for (int i = -50; i <= 50; i++) {
                double factor = 1 + 0.002 * i;
                float step = Halves.nearest(factor * (high - low) / 7);
                float lowest = Halves.nearest(factor * low);
                double loss = 0;
                for (int r = 0; r < 24; r++) {
                    double code = Math.clamp(Math.rint(((double) w.get(r, o) - lowest) / step), 0, 7);
                    loss += Math.pow(Math.abs(w.get(r, o) - (step * code + lowest)), 2.4);
                }
                if (loss < best - 1e-12) {
                    best = loss;
                    bestFactor = factor;
                }
            }
            assertThat(stored.scale().get(0, o) / minMax.scale().get(0, o))
                    .as("seed %d, output %d", SEED, o)
                    .isCloseTo((float) bestFactor, within(0.003f));
        }
    }

    @Test
    void slimStoresWhatItRounded() {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run = new Quantization(
                Compute.shared(), network, new Options(3, FullPrecision.BITS, Scope.BODY), TinyNetwork.images(SEED));
        new SlimLlm(9, 0.01, 2, Rounding.COMPENSATED).apply(run);
        List<LayerReport> reports = run.pack();
        // A step and an offset in half precision of each of 8 groups of 8 outputs; the mean of codes stays at 3 bits.
        double plain = 3 + 2 * 64 * 16 / 576.0;
        for (int i = 0; i < reports.size(); i++) {
            WeightFormat stored = run.sites().get(i).weights().getFirst().stored();
            double tables = 8 * 16 / 576.0;
            if (stored instanceof Composite parts) {
                assertThat(parts.parts().stream().mapToInt(WeightFormat::bits).toArray())
                        .containsExactly(2, 3, 4);
                assertThat(stored.bits()).isEqualTo(3);
                // Three tables of levels, and two bits for each group.
                tables = ((4 + 8 + 16) * 16 + 2 * 8) / 576.0;
            }
            assertThat(reports.get(i).effectiveBits()).isCloseTo(plain + tables, within(1e-12));
        }
        assertThat(run.sites().stream().map(s -> s.weights().getFirst().stored()))
                .hasAtLeastOneElementOfType(Composite.class);
    }

    /** Without refinement it is what it says: 4 bits for a fifth of the channels, and the signs of the others. */
    @Test
    void ptq161BeginsWithGridsAndSigns() {
        Tensor w = gaussian(20, 6);
        double[] largest = random.doubles(20).toArray();
        Composite stored = (Composite) new Ptq161(0.2, 0).store(w, 1, largest, Matrix.identity(20), new ArrayList<>());
        double[] sorted = Arrays.stream(largest).sorted().toArray();
        int[] salient =
                IntStream.range(0, 20).filter(c -> largest[c] >= sorted[16]).toArray();
        assertThat(IntStream.range(0, 20)
                        .filter(c -> stored.selector().get(c) == 1)
                        .toArray())
                .isEqualTo(salient)
                .hasSize(4);
        Tensor own = Tensor.zeros(4, 6);
        for (int i = 0; i < 4; i++) {
            for (int o = 0; o < 6; o++) {
                own.set(w.get(salient[i], o), i, o);
            }
        }
        assertThat(stored.parts().get(1).dequantize().toArray())
                .isEqualTo(Codebook.minMax(own, own, 4, new ChannelGroups(4, 1))
                        .dequantize()
                        .toArray());
        float[] q = stored.dequantize().toArray();
        for (int o = 0; o < 6; o++) {
            double mean = 0;
            double size = 0;
            for (int c = 0; c < 20; c++) {
                mean += stored.selector().get(c) == 0 ? w.get(c, o) / 16 : 0;
            }
            for (int c = 0; c < 20; c++) {
                size += stored.selector().get(c) == 0 ? Math.abs(w.get(c, o) - mean) / 16 : 0;
            }
            for (int c = 0; c < 20; c++) {
                if (stored.selector().get(c) == 0) {
                    double expected = mean + (w.get(c, o) >= mean ? size : -size);
                    assertThat((double) q[c * 6 + o]).isCloseTo(expected, within(2e-4));
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2})
    void ptq161OutputErrorFallsAndIsThatOfWhatIsStored(int planes) {
        for (int layer = 0; layer < 10; layer++) {
            Tensor w = gaussian(20, 6);
            Matrix h = gram(20);
            double[] largest = random.doubles(20).toArray();
            List<Double> errors = new ArrayList<>();
            WeightFormat stored = new Ptq161(0.2, 8).store(w, planes, largest, h, errors);
            for (int i = 1; i < errors.size(); i++) {
                assertThat(errors.get(i)).isLessThanOrEqualTo(errors.get(i - 1) * (1 + 1e-9));
            }
            assertThat(errors).hasSize(9);
            assertThat(errors.getLast()).as("seed %d", SEED).isLessThan(0.8 * errors.getFirst());
            assertThat(outputError(w, stored.dequantize(), h))
                    .isCloseTo(errors.getLast(), within(0.02 * errors.getLast()));
        }
    }

    @Test
    void gwqKeepsTheWeightsOfLargestGradients() {
        Tensor w = gaussian(20, 10);
        double[] rank = random.doubles(200).toArray();
        Outliers stored = (Outliers) new GradientOutliers(0.061, 5, 1, 1).store(w, 3, rank);
        double[] sorted = Arrays.stream(rank).sorted().toArray();
        assertThat(stored.places()).hasSize(13); // 12.2, rounded up
        float[] q = stored.dequantize().toArray();
        for (int i = 0; i < 200; i++) {
            boolean kept = rank[i] >= sorted[200 - 13];
            assertThat(stored.places().contains(i)).isEqualTo(kept);
            if (kept) {
                assertThat(q[i]).isEqualTo(Halves.nearest(w.array()[i]));
            }
        }
        // The others are on grids that the outliers do not widen.
        Tensor others = w.copy();
        stored.places().forEach(i -> others.array()[i] = 0);
        float[] base = Codebook.minMax(others, others, 3, new ChannelGroups(20, 4))
                .dequantize()
                .toArray();
        for (int i = 0; i < 200; i++) {
            if (!stored.places().contains(i)) {
                assertThat(q[i]).isEqualTo(base[i]);
            }
        }
    }

    @Test
    void gwqOfNothingIsRoundingAndOfEverythingHalfPrecision() {
        Tensor w = gaussian(20, 10);
        double[] rank = random.doubles(200).toArray();
        assertThat(new GradientOutliers(0, 5, 1, 1)
                        .store(w, 3, rank)
                        .dequantize()
                        .toArray())
                .isEqualTo(Codebook.minMax(w, w, 3, new ChannelGroups(20, 4))
                        .dequantize()
                        .toArray());
        float[] all =
                new GradientOutliers(1, 5, 1, 1).store(w, 3, rank).dequantize().toArray();
        for (int i = 0; i < 200; i++) {
            assertThat(all[i]).isEqualTo(Halves.nearest(w.array()[i]));
        }
    }

    /** Gradients rank weights as what a small change of each does to the output does. */
    @Test
    void gradientsAreThoseOfTheOutput() {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run = new Quantization(
                Compute.shared(), network, new Options(2, FullPrecision.BITS, Scope.BODY), TinyNetwork.images(SEED));
        new GradientOutliers(0.01, 72, 30, 1).apply(run);
        Outliers stored = (Outliers) run.sites().getFirst().weights().getFirst().stored();
        Tensor w = run.sites().getFirst().weights().getFirst().values();
        WeightOperand weight = run.sites().getFirst().weights().getFirst();
        float[] plain = network.run(Compute.shared(), run.batch(0)).toArray();
        double[] change = new double[w.size()];
        for (int i = 0; i < change.length; i++) {
            Tensor moved = w.copy();
            moved.array()[i] += 1e-2f;
            weight.setValues(moved);
            float[] y = network.run(Compute.shared(), run.batch(0)).toArray();
            for (int k = 0; k < plain.length; k++) {
                change[i] += Math.pow((double) y[k] - plain[k], 2);
            }
        }
        double[] sorted = Arrays.stream(change).sorted().toArray();
        // 6 of 576 are kept: they are among the upper fifth by change of the output.
        assertThat(stored.places())
                .hasSize(6)
                .allSatisfy(i -> assertThat(change[i]).isGreaterThan(sorted[576 * 8 / 10]));
    }

    @Test
    void recipesTakeWhatTheySay() {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run = new Quantization(
                Compute.shared(), network, new Options(1, FullPrecision.BITS, Scope.BODY), TinyNetwork.images(SEED));
        Recipes.byId("ptq1.61-style").orElseThrow().apply(run);
        double codes = (2 * 4 + 6 * 1) / 8.0;
        // Grids: a step and an offset of 8 outputs, a table of 16 levels. Signs: a scale and an offset of 8 outputs,
        // scales of 54 inputs.
        int halves = 2 * 8 + 16 + 2 * 8 + 54;
        // And a bit for each channel.
        assertThat(run.pack())
                .allSatisfy(r ->
                        assertThat(r.effectiveBits()).isCloseTo(codes + (16 * halves + 8) / 576.0, within(1e-12)));
    }
}
