// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.calibration;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.quant.calibration.Dobi.Variant;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.testing.Golden;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The bound search against the numbers of 2DQuant's published code: every candidate, every cost, and the choice. */
final class DobiGoldenTest {
    private static final Golden GOLDEN = Golden.open("quant_dobi");

    private final Dobi search = new Dobi(Variant.PAPER);

    static List<String> searches() {
        return GOLDEN.cases();
    }

    private static Samples samples(String name) {
        String tensor = name.substring(0, name.indexOf('/'));
        return Samples.of(tensor, GOLDEN.tensor(tensor + "/x"));
    }

    private static Tails tails(String name) {
        return GOLDEN.flag(name, "one_direction") ? Tails.UPPER : Tails.BOTH;
    }

    @Test
    void noCaseIsMissing() {
        assertThat(searches()).hasSize(56);
    }

    @ParameterizedTest
    @MethodSource("searches")
    void candidatesAreTheReferencesToTheBit(String name) {
        Samples samples = samples(name);
        Tensor lower = GOLDEN.tensor(name + "/cand_lb");
        Tensor upper = GOLDEN.tensor(name + "/cand_ub");
        assertThat(search.candidates()).isEqualTo(GOLDEN.integer(name, "num")).isEqualTo(lower.size());
        for (int i = 0; i < search.candidates(); i++) {
            float[] bounds = search.bounds(samples.min(), samples.max(), tails(name), i);
            assertThat(bounds).as("candidate %d", i).containsExactly(lower.get(i), upper.get(i));
        }
    }

    @ParameterizedTest
    @MethodSource("searches")
    void costsAndChoiceAreTheReferences(String name) {
        Samples samples = samples(name);
        int bits = GOLDEN.integer(name, "bit");
        Tensor lower = GOLDEN.tensor(name + "/cand_lb");
        Tensor upper = GOLDEN.tensor(name + "/cand_ub");
        double[] costs = GOLDEN.stored(name + "/cost").toDoubles();
        double[] costsInDouble = GOLDEN.stored(name + "/cost_f64").toDoubles();
        double least = Double.POSITIVE_INFINITY;
        for (int i = 0; i < costs.length; i++) {
            UniformGrid grid = new UniformGrid(bits, lower.get(i), upper.get(i));
            double cost = Math.sqrt(samples.squaredError(grid));
            assertThat(cost).as("candidate %d", i).isCloseTo(costs[i], within(1e-5 * costs[i]));
            assertThat(cost).as("candidate %d", i).isCloseTo(costsInDouble[i], within(1e-12 * costsInDouble[i]));
            least = Math.min(least, cost);
        }

        UniformGrid chosen = search.calibrate(samples, bits, tails(name));
        if (GOLDEN.flag(name, "margin_ok")) {
            int best = GOLDEN.integer(name, "best_index");
            assertThat(chosen).isEqualTo(new UniformGrid(bits, lower.get(best), upper.get(best)));
            assertThat(new float[] {chosen.lower(), chosen.upper()})
                    .containsExactly(GOLDEN.tensor(name + "/best").toArray());
        }
        assertThat(Math.sqrt(samples.squaredError(chosen))).isCloseTo(least, within(1e-5 * least));
    }

    /** The published code never searches in one direction: the variant named after it ignores what it is told. */
    @ParameterizedTest
    @MethodSource("searches")
    void theReleasedVariantIsAlwaysSymmetric(String name) {
        Samples samples = samples(name);
        int bits = GOLDEN.integer(name, "bit");
        assertThat(new Dobi(Variant.RELEASED).calibrate(samples, bits, tails(name)))
                .isEqualTo(search.calibrate(samples, bits, Tails.BOTH));
    }

    @ParameterizedTest
    @MethodSource("searches")
    void theHistogramFindsAnEquallyGoodRange(String name) {
        Samples samples = samples(name);
        int bits = GOLDEN.integer(name, "bit");
        double exact = samples.squaredError(search.calibrate(samples, bits, tails(name)));
        double byHistogram = samples.squaredError(search.calibrate(samples.histogram(), bits, tails(name)));
        assertThat(byHistogram).isBetween(exact, exact * (bits <= 4 ? 1.001 : 1.02));
    }
}
