// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.testing.Golden;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class WindowsTest {
    private static final Golden GOLDEN = Golden.open("ops_shape");

    static List<String> tables() {
        return GOLDEN.cases().stream()
                .filter(c -> c.startsWith("relative_position_index"))
                .toList();
    }

    static List<String> masks() {
        return GOLDEN.cases().stream().filter(c -> c.startsWith("attn_mask")).toList();
    }

    @Test
    void noCaseIsMissing() {
        assertThat(tables()).hasSize(3);
        assertThat(masks()).hasSize(3);
    }

    @ParameterizedTest
    @MethodSource("tables")
    void relativePositionsEqualTheReference(String name) {
        int[][] index = Windows.relativePositionIndex(GOLDEN.integer(name, "window"));
        double[] flat = Arrays.stream(index)
                .flatMapToInt(Arrays::stream)
                .asDoubleStream()
                .toArray();
        assertThat(flat).isEqualTo(GOLDEN.stored(name).toDoubles());
    }

    @ParameterizedTest
    @MethodSource("masks")
    void masksEqualTheReference(String name) {
        GOLDEN.assertClose(
                name,
                Windows.shiftMask(
                        GOLDEN.integer(name, "H"),
                        GOLDEN.integer(name, "W"),
                        GOLDEN.integer(name, "window"),
                        GOLDEN.integer(name, "shift")),
                0);
    }

    @Test
    void refusesWindowsThatDoNotFit() {
        assertThatThrownBy(() -> Windows.shiftMask(8, 12, 8, 4)).hasMessageContaining("8x12");
        assertThatThrownBy(() -> Windows.shiftMask(8, 8, 4, 0)).hasMessageContaining("shifted by 0");
        assertThatThrownBy(() -> Windows.shiftMask(8, 8, 4, 4)).hasMessageContaining("shifted by 4");
    }
}
