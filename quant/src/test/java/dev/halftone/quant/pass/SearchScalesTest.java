// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.quant.Quantization;
import dev.halftone.quant.Quantization.LayerReport;
import dev.halftone.quant.Quantization.Options;
import dev.halftone.quant.Scope;
import dev.halftone.quant.SiteState;
import dev.halftone.quant.TinyNetwork;
import dev.halftone.quant.WeightOperand;
import dev.halftone.quant.calibration.MinMax;
import dev.halftone.quant.calibration.Samples;
import dev.halftone.quant.calibration.Tails;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class SearchScalesTest {
    private final Compute compute = Compute.shared();

    /** Every level is a whole number of the smaller steps, those above the first range of the larger ones, of which 1 is the last. */
    @Test
    void probabilitiesHaveTwoRangesWhoseStepsArePowersOfTwoApart() {
        for (int bits = 2; bits <= 8; bits++) {
            int n = 1 << (bits - 1);
            for (int top = 0; top < 6; top++) {
                for (int ratio = 0; ratio < 8; ratio++) {
                    float[] levels =
                            TwinRanges.probabilities(bits, top, ratio).table().toArray();
                    float large = (float) Math.scalb(1.0, -top) / n;
                    float small = (float) Math.scalb(large, -ratio);
                    assertThat(levels.length).isBetween(n + 1, 2 * n);
                    assertThat(levels[0]).isZero();
                    assertThat(levels[levels.length - 1]).isEqualTo((float) Math.scalb(1.0, -top));
                    for (int i = 0; i < levels.length; i++) {
                        assertThat(levels[i] / small).isEqualTo((float) Math.rint(levels[i] / small));
                        if (i >= n) {
                            assertThat(levels[i] / large).isEqualTo((float) Math.rint(levels[i] / large));
                        } else {
                            assertThat(levels[i]).isEqualTo(i * small);
                        }
                    }
                }
            }
        }
    }

    @Test
    void bothSidesOfZeroHaveAStepOfTheirOwn() {
        for (int bits = 2; bits <= 8; bits++) {
            int n = 1 << (bits - 1);
            float[] levels = TwinRanges.bothSides(bits, 0.3, 2).table().toArray();
            assertThat(levels).hasSize(2 * n);
            for (int i = 0; i < levels.length; i++) {
                double wanted = i < n ? (i - n) * 0.3 / 4 : (i - n) * 0.3;
                assertThat((double) levels[i]).isCloseTo(wanted, within(Math.abs(wanted) / 2048));
            }
            // With steps as large as each other it is the ordinary grid around zero.
            float[] even = TwinRanges.bothSides(bits, 0.25, 0).table().toArray();
            for (int i = 0; i < even.length; i++) {
                assertThat(even[i]).isEqualTo(0.25f * (i - n));
            }
        }
    }

    private Quantization searched(int bits, int rounds) {
        Quantization run = new Quantization(
                compute, TinyNetwork.random(1), new Options(bits, bits, Scope.BODY), TinyNetwork.images(7));
        new SearchScales(rounds, 1).apply(run);
        return run;
    }

    /** The min-max ranges are candidates, and each turn keeps the best, so no layer is worse. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 8})
    void noRoundIsWorseThanTheOneBefore(int bits) {
        List<LayerReport> one = searched(bits, 1).pack();
        List<LayerReport> two = searched(bits, 2).pack();
        for (int i = 0; i < one.size(); i++) {
            double from = measure(one.get(i), "searchedFrom");
            assertThat(measure(two.get(i), "searchedFrom")).isEqualTo(from);
            assertThat(measure(one.get(i), "searchedTo")).isLessThanOrEqualTo(from);
            assertThat(measure(two.get(i), "searchedTo")).isLessThanOrEqualTo(measure(one.get(i), "searchedTo"));
            assertThat(one.get(i).packed()).isTrue();
        }
    }

    private static double measure(LayerReport layer, String name) {
        Double value = layer.measures().get(name);
        assertThat(value).as("%s of %s", name, layer.name()).isNotNull();
        return value == null ? Double.NaN : value;
    }

    /** What is chosen is a shrunken min-max range, one per output channel and one for the input. */
    @Test
    void rangesShrinkTowardsZero() {
        Quantization run = searched(2, 2);
        boolean shrunk = false;
        for (SiteState site : run.sites()) {
            WeightOperand weight = site.weights().getFirst();
            Tensor w = weight.values();
            for (int c = 0; c < w.dim(-1); c++) {
                UniformGrid whole = new MinMax().calibrate(Samples.ofChannel(weight.name(), w, c), 2, Tails.BOTH);
                UniformGrid grid = weight.quantizer().grid(c);
                assertThat(grid.lower() / whole.lower()).isBetween(0.08f, 1f);
                assertThat(grid.upper() / whole.upper()).isCloseTo(grid.lower() / whole.lower(), within(1e-5f));
                shrunk |= grid.upper() < whole.upper();
            }
            assertThat(((UniformQuantizer) site.inputs().getFirst().quantizer()).isPerTensor())
                    .isTrue();
        }
        assertThat(shrunk).isTrue();
    }

    /** The whole network is nearer to fp32 than on min-max ranges, for several networks. */
    @Test
    void networksAreNearerToFp32() {
        for (long seed = 1; seed <= 5; seed++) {
            Tensor image = TinyNetwork.images(100 + seed).getFirst();
            Tensor full = TinyNetwork.random(seed).run(compute, image);
            double[] error = new double[2];
            for (int i = 0; i < 2; i++) {
                TinyNetwork network = TinyNetwork.random(seed);
                Quantization run =
                        new Quantization(compute, network, new Options(2, 2, Scope.BODY), TinyNetwork.images(7));
                if (i == 0) {
                    new CalibrateWeights(new MinMax(), true).apply(run);
                    new CalibrateActivations(new MinMax()).apply(run);
                } else {
                    new SearchScales(2, 1).apply(run);
                }
                run.pack();
                Tensor y = network.run(compute, image);
                for (int j = 0; j < y.size(); j++) {
                    error[i] += Math.pow(y.array()[j] - full.array()[j], 2);
                }
            }
            assertThat(error[1]).as("seed %d", seed).isLessThan(error[0]);
        }
    }
}
