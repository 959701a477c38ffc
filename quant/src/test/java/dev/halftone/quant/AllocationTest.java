// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.nn.MultiplyAdds;
import dev.halftone.quant.AllocateBits.Method;
import dev.halftone.quant.Quantization.LayerReport;
import dev.halftone.quant.Quantization.Options;
import dev.halftone.quant.calibration.Histogram;
import dev.halftone.quant.calibration.MinMax;
import dev.halftone.tensor.Compute;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

final class AllocationTest {
    @ParameterizedTest
    @CsvSource({"2, 0.3, 1", "3, 0.3, 2", "4, 0.5, 3", "7, 0.25, 4", "1, 0.3, 5", "8, 0.3, 6", "4, 0, 7"})
    void theAverageStaysAndMoreBitsGoWhereMoreVaries(int bits, double share, long seed) {
        Quantization run = new Quantization(
                Compute.shared(), TinyNetwork.random(seed), new Options(bits, bits, Scope.ALL), TinyNetwork.images(7));
        new AllocateByDeviation(share).apply(run);
        double sum = 0;
        int changed = 0;
        Map<InputOperand, Histogram> seen = run.observeInputs();
        for (InputOperand input : seen.keySet()) {
            sum += input.bits();
            changed += input.bits() == bits ? 0 : 1;
            assertThat(input.bits()).isBetween(Math.max(1, bits - 1), Math.min(8, bits + 1));
        }
        assertThat(sum / seen.size()).as("seed %d", seed).isEqualTo(bits);
        assertThat(changed).isEqualTo(bits == 1 || bits == 8 ? 0 : 2 * (int) (share * seen.size()));
        seen.forEach((a, valuesOfA) -> seen.forEach((b, valuesOfB) -> {
            if (a.bits() > b.bits()) {
                assertThat(AllocateByDeviation.deviation(valuesOfA))
                        .isGreaterThanOrEqualTo(AllocateByDeviation.deviation(valuesOfB));
            }
        }));
    }

    @Test
    void refusesMoreThanHalf() {
        assertThatThrownBy(() -> new AllocateByDeviation(0.6)).hasMessageContaining("0 to 0.5, not 0.6");
    }

    private static Quantization prepared(int bits, long seed, Scope scope) {
        return new Quantization(
                Compute.shared(), TinyNetwork.random(seed), new Options(bits, bits, scope), TinyNetwork.images(7));
    }

    private static double storedBits(Quantization run) {
        new CalibrateWeights(new MinMax(), true).apply(run);
        new CalibrateActivations(new MinMax()).apply(run);
        double bits = 0;
        double weights = 0;
        Map<String, Long> sizes = new LinkedHashMap<>();
        run.sites()
                .forEach(site -> site.weights()
                        .forEach(w ->
                                sizes.put(site.site().name(), (long) w.values().size())));
        for (LayerReport layer : run.pack()) {
            long size = sizes.getOrDefault(layer.name(), 0L);
            bits += layer.effectiveBits() * size;
            weights += size;
        }
        return bits / weights;
    }

    /** What is asked for is met by the file's bits, bounds and all. */
    @ParameterizedTest
    @EnumSource(Method.class)
    void theTargetIsMetWithAllThatAWeightNeeds(Method method) {
        for (double target : new double[] {2.3, 3.1, 4.7}) {
            Quantization run = prepared(3, 1, Scope.BODY);
            new AllocateBits(method, OptionalDouble.of(target), true).apply(run);
            assertThat(storedBits(run)).as("target %s", target).isBetween(target - 0.8, target);
        }
    }

    @ParameterizedTest
    @EnumSource(Method.class)
    void withoutATargetTheSizeIsThatOfTheUniformNetwork(Method method) {
        Quantization uniform = prepared(3, 1, Scope.ALL);
        Quantization run = prepared(3, 1, Scope.ALL);
        new AllocateBits(method, OptionalDouble.empty(), false).apply(run);
        assertThat(run.sites()).allSatisfy(site -> assertThat(site.inputs()).allMatch(input -> input.bits() == 3));
        double most = storedBits(uniform);
        assertThat(storedBits(run)).isBetween(most - 0.8, most);
    }

    /** Inputs get no more than the weights' average, each counted as often as it is multiplied. */
    @ParameterizedTest
    @EnumSource(Method.class)
    void inputsHaveNoMoreBitsThanWeights(Method method) {
        Quantization run = prepared(3, 2, Scope.ALL);
        new AllocateBits(method, OptionalDouble.empty(), true).apply(run);
        Map<String, Double> uses = MultiplyAdds.perPixel(Compute.shared(), TinyNetwork.random(2));
        double bits = 0;
        double all = 0;
        for (SiteState site : run.sites()) {
            double own = uses.getOrDefault(site.site().name(), 0.0);
            bits += own * site.inputs().getFirst().bits();
            all += own;
        }
        assertThat(bits / all).isBetween(2.2, 3.0);
        if (method != Method.MIXQUANT) { // inputs of one shape of distribution have the same roundoff errors
            assertThat(run.sites().stream().map(site -> site.inputs().getFirst().bits()))
                    .as("some have more than others")
                    .anyMatch(b -> b > 3)
                    .anyMatch(b -> b < 3);
        }
    }

    /** The layer that adds a tenth of its output to the stream can do with fewer bits than the one that adds all of it. */
    @ParameterizedTest
    @EnumSource(value = Method.class, names = "MIXQUANT", mode = EnumSource.Mode.EXCLUDE)
    void whatMattersLessGetsFewerBits(Method method) {
        for (long seed = 1; seed <= 5; seed++) {
            Quantization run = prepared(3, seed, Scope.BODY);
            new AllocateBits(method, OptionalDouble.empty(), true).apply(run);
            assertThat(bits(run, "body.1.body.2")).as("seed %d", seed).isLessThan(bits(run, "body.0.body.2"));
        }
    }

    private static int bits(Quantization run, String name) {
        return run.sites().stream()
                .filter(site -> site.site().name().equals(name))
                .mapToInt(site -> site.weights().getFirst().bits())
                .sum();
    }

    @Test
    void leavesTheNetworkAsItWas() {
        TinyNetwork network = TinyNetwork.random(3);
        float[] before =
                network.run(Compute.shared(), TinyNetwork.images(7).getFirst()).toArray();
        Quantization run =
                new Quantization(Compute.shared(), network, new Options(3, 3, Scope.ALL), TinyNetwork.images(7));
        new AllocateBits(Method.MLORQ, OptionalDouble.empty(), true).apply(run);
        assertThat(network.run(Compute.shared(), TinyNetwork.images(7).getFirst())
                        .toArray())
                .isEqualTo(before);
    }

    @Test
    void tooSmallABudgetIsRefused() {
        assertThatThrownBy(() ->
                        new AllocateBits(Method.FMPQ, OptionalDouble.of(1.5), true).apply(prepared(2, 1, Scope.BODY)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining(
                        "1.500 bits per weight are too few: with 1-bit codes and their bounds a weight takes 2.000");
    }
}
