// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.quant.Quantization.Options;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.quant.format.UniformWeight;
import dev.halftone.quant.recipe.Recipes;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** ISQuant over random networks: one symmetric grid for a tensor, integer codes, and errors that cancel as SQuant's do. */
final class IsQuantTest {
    @ParameterizedTest
    @ValueSource(ints = {4, 7, 8})
    void codesAreIntegersOfOneStepWhoseErrorsCancel(int bits) {
        for (long seed = 1; seed <= 3; seed++) {
            TinyNetwork network = TinyNetwork.random(seed);
            Quantization run = new Quantization(
                    Compute.shared(), network, new Options(bits, bits, Scope.ALL), TinyNetwork.images(seed));
            List<WeightOperand> weights = run.sites().stream()
                    .flatMap(site -> site.weights().stream())
                    .toList();
            List<Tensor> before = weights.stream().map(WeightOperand::values).toList();
            Recipes.byId("isquant-style").orElseThrow().apply(run);
            for (int i = 0; i < weights.size(); i++) {
                assertCancels(
                        weights.get(i),
                        before.get(i),
                        "seed " + seed + ", " + weights.get(i).name());
            }
            for (SiteState site : run.sites()) {
                UniformQuantizer input =
                        (UniformQuantizer) site.inputs().getFirst().quantizer();
                assertThat(input.isPerTensor()).isTrue();
                UniformGrid grid = input.grid(0);
                assertThat(Math.abs(grid.lower() / grid.scale() - Math.rint(grid.lower() / grid.scale())))
                        .as("0 is a level of inputs")
                        .isLessThan(1e-3f);
            }
        }
    }

    /** Checks one weight {@code [k, k, in, out]}; errors are in steps. */
    private static void assertCancels(WeightOperand weight, Tensor before, String what) {
        UniformWeight stored = (UniformWeight) weight.stored();
        assertThat(stored.quantizer().isPerTensor()).as(what).isTrue();
        UniformGrid grid = stored.quantizer().grid(0);
        double step = grid.scale();
        int zero = 1 << (grid.bits() - 1); // the code of 0, in two's complement the integer 0
        assertThat(grid.lower() / step).as("%s: codes are integers", what).isCloseTo(-zero, within(1e-4));
        double most = 0;
        for (float w : before.toArray()) {
            most = Math.max(most, Math.abs(w));
        }
        assertThat((double) grid.upper())
                .as("%s: nothing above 0 is clipped, below one step at most", what)
                .isBetween(most * (1 - 1e-5) - step, most * (1 + 1e-5));

        float[] values = before.toArray();
        int out = before.dim(3);
        int in = before.dim(2);
        int taps = before.dim(0) * before.dim(1);
        for (int o = 0; o < out; o++) {
            List<Double> kernels = new ArrayList<>();
            for (int c = 0; c < in; c++) {
                double kernel = 0;
                for (int t = 0; t < taps; t++) {
                    int i = (t * in + c) * out + o;
                    double exact =
                            Math.clamp(values[i] / step, -zero, zero - 1); // what cannot be represented does not count
                    double error = stored.codes().get(i) - zero - exact;
                    assertThat(Math.abs(error)).as(what).isLessThan(1 + 1e-3);
                    kernel += error;
                }
                kernels.add(kernel);
            }
            if (taps > 1) {
                assertThat(kernels)
                        .as("%s: kernels", what)
                        .allSatisfy(k -> assertThat(Math.abs(k)).isLessThanOrEqualTo(1 + 1e-3));
            }
            double channel = kernels.stream().mapToDouble(Double::doubleValue).sum();
            assertThat(Math.abs(channel)).as("%s: channel %d", what, o).isLessThanOrEqualTo(0.5 + 1e-3);
        }
    }
}
