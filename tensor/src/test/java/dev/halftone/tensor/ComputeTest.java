// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.concurrent.atomic.AtomicIntegerArray;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ComputeTest {
    @ParameterizedTest
    @CsvSource({"1, 0, 1", "1, 10, 3", "2, 1, 1", "2, 17, 4", "4, 1000, 7", "3, 5, 100"})
    void everyIndexOnce(int threads, int n, int grain) {
        AtomicIntegerArray seen = new AtomicIntegerArray(n);
        try (Compute compute = Compute.ofThreads(threads)) {
            compute.forEachRange(n, grain, (from, to) -> {
                for (int i = from; i < to; i++) {
                    seen.incrementAndGet(i);
                }
            });
        }
        for (int i = 0; i < n; i++) {
            assertThat(seen.get(i)).isEqualTo(1);
        }
    }

    @Test
    @Timeout(20)
    void nestedCallsFinish() {
        AtomicIntegerArray seen = new AtomicIntegerArray(64);
        try (Compute compute = Compute.ofThreads(2)) {
            compute.forEachRange(
                    8, 1, (from, to) -> compute.forEachRange(8, 1, (f, t) -> seen.incrementAndGet(8 * from + f)));
        }
        for (int i = 0; i < 64; i++) {
            assertThat(seen.get(i)).isEqualTo(1);
        }
    }

    @Test
    void anExceptionComesOut() {
        try (Compute compute = Compute.ofThreads(3)) {
            assertThatThrownBy(() -> compute.forEachRange(100, 1, (from, to) -> {
                        if (from == 50) {
                            throw new IllegalStateException("fifty");
                        }
                    }))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessage("fifty");
        }
    }
}
