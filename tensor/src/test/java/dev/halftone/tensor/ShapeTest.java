// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class ShapeTest {
    @Test
    void countsMoreElementsThanAnArrayHolds() {
        Shape map = Shape.of(1, 20_000, 20_000, 64);
        assertThat(map.elements()).isEqualTo(25_600_000_000L);
        assertThatThrownBy(map::size)
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("shape [1, 20000, 20000, 64] has more than 2^31 - 1 elements; process it in tiles");
        assertThatThrownBy(() -> Tensor.zeros(map)).isInstanceOf(IllegalArgumentException.class);
        assertThat(Shape.of(46_341, 46_340).size()).isEqualTo(46_341 * 46_340);
    }

    @Test
    void refusesWhatIsNoShape() {
        int large = Integer.MAX_VALUE;
        assertThatThrownBy(() -> Shape.of(large, large, 3))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("2^63 - 1");
        assertThatThrownBy(() -> Shape.of(3, -1)).isInstanceOf(IllegalArgumentException.class);
        assertThat(Shape.of(large, large, 0).size()).isZero();
        assertThat(Shape.of().size()).isEqualTo(1);
    }
}
