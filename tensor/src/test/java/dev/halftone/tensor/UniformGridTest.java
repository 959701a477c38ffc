// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import org.junit.jupiter.api.Test;

class UniformGridTest {
    @Test
    void roundsHalfToEvenAndClips() {
        UniformGrid grid = new UniformGrid(2, 0, 3);
        assertThat(grid.scale()).isEqualTo(1);
        assertThat(grid.code(0.5f)).isZero();
        assertThat(grid.code(1.5f)).isEqualTo(2);
        assertThat(grid.code(2.5f)).isEqualTo(2);
        assertThat(grid.code(2.5000002f)).isEqualTo(3);
        assertThat(grid.code(Float.NEGATIVE_INFINITY)).isZero();
        assertThat(grid.code(Float.POSITIVE_INFINITY)).isEqualTo(3);
        assertThat(grid.code(-0f)).isZero();
        assertThat(grid.code(Float.NaN)).isZero();
    }

    @Test
    void everyLevelHasItsOwnCode() {
        for (int bits = 1; bits <= 8; bits++) {
            for (float upper : new float[] {-1.2f, 0.1f, 7.7f, 1e30f}) {
                UniformGrid grid = new UniformGrid(bits, -1.3f, upper);
                for (int q = 0; q <= grid.maxCode(); q++) {
                    assertThat(grid.code(grid.level(q)))
                            .as("%s level %d", grid, q)
                            .isEqualTo(q);
                }
            }
        }
    }

    @Test
    void codesStayInRangeOnDenormalGrids() {
        UniformGrid grid = new UniformGrid(2, 0, 4 * Float.MIN_VALUE); // scale rounds to MIN_VALUE, the quotient to 4
        assertThat(grid.code(1)).isEqualTo(3);
    }

    @Test
    void refusesGridsWithoutLevels() {
        assertThatIllegalArgumentException().isThrownBy(() -> new UniformGrid(0, 0, 1));
        assertThatIllegalArgumentException().isThrownBy(() -> new UniformGrid(9, 0, 1));
        assertThatIllegalArgumentException().isThrownBy(() -> new UniformGrid(2, 1, 1));
        assertThatIllegalArgumentException().isThrownBy(() -> new UniformGrid(2, 1, 0));
        assertThatIllegalArgumentException().isThrownBy(() -> new UniformGrid(2, Float.NaN, 1));
        assertThatIllegalArgumentException().isThrownBy(() -> new UniformGrid(2, 0, Float.POSITIVE_INFINITY));
        assertThatIllegalArgumentException().isThrownBy(() -> new UniformGrid(2, -Float.MAX_VALUE, Float.MAX_VALUE));
        assertThatIllegalArgumentException().isThrownBy(() -> new UniformGrid(8, 0, Float.MIN_VALUE));
    }
}
