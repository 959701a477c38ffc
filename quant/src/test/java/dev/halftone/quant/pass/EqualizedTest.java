// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.quant.Quantization;
import dev.halftone.quant.Quantization.Options;
import dev.halftone.quant.Scope;
import dev.halftone.quant.SiteState;
import dev.halftone.quant.TinyNetwork;
import dev.halftone.quant.calibration.Histogram;
import dev.halftone.quant.matrix.Matrix;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What SmoothQuant, AWQ and weight dilation do to the channels of random layers. That networks compute what they did is {@link TransformTest}'s. */
final class EqualizedTest {
    private static final long SEED = 41;

    private final SplittableRandom random = new SplittableRandom(SEED);

    private Tensor gaussian(int... dims) {
        Tensor t = Tensor.zeros(dims);
        for (int i = 0; i < t.size(); i++) {
            t.array()[i] = (float) random.nextGaussian();
        }
        return t;
    }

    private static Quantization quantization(long seed) {
        return new Quantization(
                Compute.shared(), TinyNetwork.random(seed), new Options(3, 3, Scope.ALL), TinyNetwork.images(7));
    }

    private static double[] largestOfInputs(Tensor w) {
        double[] largest = new double[w.dim(-2)];
        for (int i = 0; i < w.size(); i++) {
            int c = i / w.dim(-1) % largest.length;
            largest[c] = Math.max(largest[c], Math.abs(w.array()[i]));
        }
        return largest;
    }

    @Test
    void smoothQuantMakesChannelsOfInputsAndWeightsEquallyLarge() {
        for (int seed = 1; seed < 5; seed++) {
            Quantization run = quantization(seed);
            new Equalize(0.5).apply(run);
            var inputs = ChannelHistograms.observe(run);
            for (SiteState site : run.sites()) {
                ChannelHistograms input = inputs.get(site.inputs().getFirst());
                double[] weights = largestOfInputs(site.weights().getFirst().values());
                for (int c = 0; input != null && c < weights.length; c++) {
                    if (input.largest(c) > 1e-3) {
                        assertThat(weights[c])
                                .as("seed %d, %s, channel %d", seed, site.site().name(), c)
                                .isCloseTo(input.largest(c), within(1e-4 * weights[c]));
                    }
                }
            }
        }
    }

    /** Inputs of very different channels: the chosen exponent is never worse than none, and mostly better. */
    @ParameterizedTest
    @ValueSource(ints = {2, 3, 4})
    void awqIsNeverWorseThanRounding(int bits) {
        int gained = 0;
        for (int trial = 0; trial < 20; trial++) {
            int in = 16;
            double[] sizes = random.doubles(in, -2, 2).map(Math::exp).toArray();
            Matrix x = Matrix.zeros(120, in);
            double[] magnitudes = new double[in];
            for (int i = 0; i < x.rows(); i++) {
                for (int c = 0; c < in; c++) {
                    x.set(i, c, sizes[c] * random.nextGaussian());
                    magnitudes[c] += Math.abs(x.get(i, c));
                }
            }
            Matrix gram =
                    Matrix.zeros(in, in).plus(1.0 / x.rows(), x.transposed().times(x));
            Matrix w = Matrix.of(gaussian(in, 6));
            ScaleSalient.Choice choice = ScaleSalient.choose(w, gram, magnitudes, bits, 20);
            assertThat(choice.error()).as("seed %d, trial %d", SEED, trial).isLessThanOrEqualTo(choice.unscaled());
            gained += choice.error() < 0.9 * choice.unscaled() ? 1 : 0;
            ScaleSalient.Choice none = ScaleSalient.choose(w, gram, magnitudes, bits, 1);
            assertThat(none.factors()).containsOnly(1);
            assertThat(none.error()).isEqualTo(none.unscaled()).isEqualTo(choice.unscaled());
        }
        assertThat(gained).as("seed %d", SEED).isGreaterThan(10);
    }

    /** Where all channels are alike there is nothing to scale, so the weights are what rounding to the nearest would be given. */
    @Test
    void awqWithoutRatiosLeavesTheWeights() {
        Quantization run = quantization(1);
        List<float[]> before = run.sites().stream()
                .map(s -> s.weights().getFirst().values().toArray())
                .toList();
        new ScaleSalient(1).apply(run);
        for (int s = 0; s < before.size(); s++) {
            SiteState site = run.sites().get(s);
            assertThat(site.weights().getFirst().values().toArray()).isEqualTo(before.get(s));
            assertThat(site.measures()).containsEntry("exponent", 0.0);
        }
    }

    @Test
    void dilationKeepsTheRangeOfEveryWeight() {
        int grown = 0;
        for (int trial = 0; trial < 30; trial++) {
            Tensor w = gaussian(3, 3, 24, 4);
            double[] factors = Dilate.factors(w);
            Tensor dilated = w.copy();
            for (int i = 0; i < w.size(); i++) {
                // As layers do it, by the gain of the channel.
                dilated.array()[i] /= (float) (1 / factors[i / 4 % 24]);
            }
            double[] before = largestOfInputs(w);
            for (int o = 0; o < 4; o++) {
                assertThat(range(dilated, o))
                        .as("seed %d, trial %d", SEED, trial)
                        .isEqualTo(range(w, o));
            }
            double[] after = largestOfInputs(dilated);
            for (int c = 0; c < factors.length; c++) {
                assertThat(factors[c]).isGreaterThanOrEqualTo(1);
                assertThat(after[c]).isGreaterThanOrEqualTo(before[c]);
                grown += factors[c] > 1.01 ? 1 : 0;
            }
            // A channel with the largest weight of an output cannot grow.
            assertThat(Arrays.stream(factors).filter(f -> f == 1).count()).isGreaterThan(0);
        }
        assertThat(grown).as("seed %d", SEED).isGreaterThan(30);
    }

    private static List<Float> range(Tensor w, int output) {
        float low = 0;
        float high = 0;
        for (int i = output; i < w.size(); i += w.dim(-1)) {
            low = Math.min(low, w.array()[i]);
            high = Math.max(high, w.array()[i]);
        }
        return List.of(low, high);
    }

    private static float largest(Histogram values) {
        return Math.max(-values.min(), values.max());
    }

    @Test
    void dilationNeverMakesInputsLarger() {
        Quantization run = quantization(2);
        var before = run.observeInputs();
        List<Float> largest =
                before.values().stream().map(EqualizedTest::largest).toList();
        new Dilate().apply(run);
        int i = 0;
        for (var after : run.observeInputs().values()) {
            // Up to the rounding of sums in layers before, whose channels are divided too.
            assertThat(largest(after)).isLessThanOrEqualTo(largest.get(i++) * (1 + 1e-5f));
        }
        assertThat(run.sites())
                .anySatisfy(site ->
                        assertThat(site.measures().getOrDefault("dilated", 0.0)).isPositive());
    }
}
