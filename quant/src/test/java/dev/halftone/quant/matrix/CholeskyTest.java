// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.matrix;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

final class CholeskyTest {
    @Test
    void decomposesAndInverts() {
        SplittableRandom random = new SplittableRandom(3);
        for (int n : new int[] {1, 2, 7, 20}) {
            Matrix x = Matrix.zeros(2 * n, n);
            for (int i = 0; i < 2 * n; i++) {
                for (int j = 0; j < n; j++) {
                    x.set(i, j, random.nextGaussian());
                }
            }
            Matrix a = x.transposed().times(x);
            Matrix l = Cholesky.of(a);
            Matrix product = l.times(l.transposed());
            Matrix identity = a.times(Cholesky.inverse(l));
            for (int i = 0; i < n; i++) {
                for (int j = 0; j < n; j++) {
                    assertThat(product.get(i, j)).isCloseTo(a.get(i, j), within(1e-10 * (1 + n)));
                    assertThat(identity.get(i, j)).isCloseTo(i == j ? 1 : 0, within(1e-8));
                    if (j > i) {
                        assertThat(l.get(i, j)).isZero();
                    }
                }
            }
        }
    }

    @Test
    void refusesWhatIsNotPositiveDefinite() {
        assertThatThrownBy(() -> Cholesky.of(Matrix.of(2, 2, 1, 2, 2, 1)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("positive definite");
    }
}
