// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.nn.Graph;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.Quantization.Options;
import dev.halftone.quant.Scope;
import dev.halftone.quant.SiteState;
import dev.halftone.quant.TinyNetwork;
import dev.halftone.quant.calibration.GaussianStep;
import dev.halftone.quant.format.NormalizedQuantizer;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.ChannelNormalization;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

final class DistributionAwareTest {
    private static final long SEED = 31;

    private final SplittableRandom random = new SplittableRandom(SEED);

    /** DAQ's formulas: {@code clamp((round((x - mu) / s + 1/2) - 1/2) s, -T, T) + mu}, and around T behind a ReLU. */
    @Test
    void gridsAreThoseOfThePapersFormula() {
        for (int trial = 0; trial < 400; trial++) {
            int bits = 1 + trial % 8;
            boolean rectified = trial % 2 == 0;
            double mean = random.nextDouble(-1, 1);
            double deviation = random.nextDouble(0.1, 2);
            double step = GaussianStep.step(bits) * deviation;
            double reach = ((1 << bits) / 2.0 - 0.5) * step;
            double centre = rectified ? reach : mean;
            double x = rectified ? random.nextDouble(0, 3 * reach) : mean + random.nextGaussian() * 2 * deviation;
            double rounded = (Math.rint((x - centre) / step + 0.5) - 0.5) * step;
            double expected = Math.clamp(rounded, -reach, reach) + centre;
            UniformGrid grid = DistributionAware.grid(bits, mean, deviation, rectified);
            double actual = grid.level(grid.code((float) x));
            boolean tie = Math.abs((x - centre) / step - Math.rint((x - centre) / step)) < 1e-3;
            if (!tie) {
                assertThat(actual)
                        .as("seed %d, trial %d: %f", SEED, trial, x)
                        .isCloseTo(expected, within(1e-4 * Math.max(1, reach)));
            }
        }
    }

    /** One channel needs no normalisation, and its deviation no levels: it is the quantizer of the tensor. */
    @Test
    void oneChannelIsThePerTensorQuantizer() {
        UniformGrid grid = GaussianStep.around(3, 0.3, 1.2);
        ChannelNormalization none = ChannelGrids.normalization(List.of(grid), grid);
        assertThat(none.gain().get(0)).isEqualTo(1);
        assertThat(none.offset().get(0)).isZero();
        assertThat(DistributionAware.quantized(new double[] {1.7}, 4)).containsExactly(1.7);
        Tensor x = Tensor.zeros(100, 1);
        for (int i = 0; i < 100; i++) {
            x.array()[i] = (float) random.nextGaussian();
        }
        UniformQuantizer whole = UniformQuantizer.perTensor(grid);
        Graph graph = Graph.eager(Compute.shared());
        assertThat(new NormalizedQuantizer(none, whole)
                        .apply(graph.constant(x))
                        .tensor()
                        .toArray())
                .isEqualTo(whole.fake(x).toArray());
    }

    @Test
    void deviationsHaveFewLevelsNearTheirValues() {
        double[] deviations = random.doubles(500, 0.5, 1.5).toArray();
        double[] levels = DistributionAware.quantized(deviations, 4);
        assertThat(Arrays.stream(levels).distinct().count()).isLessThanOrEqualTo(16);
        for (int c = 0; c < levels.length; c++) {
            assertThat(levels[c]).isCloseTo(deviations[c], within(0.335 * 0.3 / 2 + 0.01));
        }
        assertThatThrownBy(() -> new DistributionAware(0)).hasMessageContaining("1 to 8 bits, not 0");
    }

    /** Inputs of channels that differ have less error on grids of their own than on the Gaussian grid of the tensor. */
    @Test
    void channelsThatDifferGain() {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run =
                new Quantization(Compute.shared(), network, new Options(3, 3, Scope.BODY), TinyNetwork.images(7));
        new CalibrateActivations(new GaussianStep()).apply(run);
        double whole = 0;
        for (SiteState site : run.sites()) {
            whole += site.inputs().getFirst().error();
        }
        new DistributionAware(4).apply(run);
        double own = 0;
        for (SiteState site : run.sites()) {
            own += site.inputs().getFirst().error();
        }
        assertThat(own).isLessThan(0.7 * whole);
    }
}
