// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.tensor.Tensor;
import dev.halftone.testing.Golden;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LumaTest {
    @ParameterizedTest
    @ValueSource(strings = {"y/colors", "y/real"})
    void equalsTheReference(String name) {
        Golden golden = Golden.open("ops_metrics");
        Tensor luma = Luma.of(golden.tensor(name + "/rgb"));
        float[] expected = golden.tensor(name + "/f32").toArray();
        assertThat(luma.toArray()).containsExactly(expected, within(3e-5f));
        assertThat(Pixels.toUint8(luma).toArray())
                .isEqualTo(golden.tensor(name + "/u8").toArray());
    }
}
