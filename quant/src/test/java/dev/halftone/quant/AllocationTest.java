// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.quant.Quantization.Options;
import dev.halftone.quant.calibration.Histogram;
import dev.halftone.tensor.Compute;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

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
}
