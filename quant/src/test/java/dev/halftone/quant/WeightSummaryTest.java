// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import static org.assertj.core.api.Assertions.assertThat;

import dev.halftone.tensor.Tensor;
import java.util.Collections;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;

final class WeightSummaryTest {
    @Test
    void everyValueIsInABin() {
        Tensor w = Tensor.of(new float[] {-2, -0.01f, 0.01f, 1, 2, 0}, 3, 2);
        WeightSummary summary = WeightSummary.of(w);
        assertThat(summary.limit()).isEqualTo(2);
        assertThat(summary.counts()).hasSize(33);
        assertThat(summary.counts().stream().mapToInt(n -> n).sum()).isEqualTo(6);
        assertThat(summary.counts().get(16)).as("around 0").isEqualTo(3);
        assertThat(summary.counts().getFirst()).isEqualTo(1);
        assertThat(summary.counts().getLast()).isEqualTo(1);
    }

    @Test
    void whatIsBeyondIsInTheOutermostBins() {
        Tensor w = Tensor.of(new float[] {-2, -1, 1, 2}, 2, 2);
        WeightSummary summary = WeightSummary.of(w, 0.5);
        assertThat(summary.counts().getFirst()).isEqualTo(2);
        assertThat(summary.counts().getLast()).isEqualTo(2);
    }

    @Test
    void conditionIsThatOfTheMatrix() {
        Tensor w = Tensor.of(new float[] {3, 0, 0, 0.5f, 0, 0}, 3, 2);
        assertThat(WeightSummary.of(w).condition()).isCloseTo(6, Offset.offset(1e-6));
    }

    @Test
    void ofNothingButZeros() {
        WeightSummary summary = WeightSummary.of(Tensor.zeros(3, 2));
        assertThat(summary.counts().stream().filter(n -> n > 0)).containsExactly(6);
        assertThat(Collections.max(summary.counts())).isEqualTo(6);
    }
}
