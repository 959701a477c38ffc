// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.tensor.Tensor;
import org.junit.jupiter.api.Test;

class DegradationTest {
    private static Tensor picture() {
        Tensor image = Tensor.zeros(48, 40, 3);
        for (int y = 0; y < 48; y++) {
            for (int x = 0; x < 40; x++) {
                for (int c = 0; c < 3; c++) {
                    image.set((float) Math.rint(128 + 60 * Math.sin(0.5 * x + c) * Math.cos(0.4 * y)), y, x, c);
                }
            }
        }
        return image;
    }

    private static double deviation(Tensor a, Tensor b) {
        double squares = 0;
        for (int i = 0; i < a.size(); i++) {
            squares += Math.pow(a.array()[i] - b.array()[i], 2);
        }
        return Math.sqrt(squares / a.size());
    }

    @Test
    void noiseHasItsDeviationAndSeed() {
        Tensor image = picture();
        Tensor noisy = Degradation.noise(image, 5, 7);
        assertThat(deviation(image, noisy)).isCloseTo(5, within(0.3));
        assertThat(Degradation.noise(image, 5, 7).toArray()).isEqualTo(noisy.toArray());
        assertThat(Degradation.noise(image, 5, 8).toArray()).isNotEqualTo(noisy.toArray());
        assertThat(image.toArray()).isEqualTo(picture().toArray());
    }

    @Test
    void jpegIsWorseAtLowerQuality() {
        Tensor image = picture();
        double fine = deviation(image, Degradation.jpeg(image, 0.95f));
        double coarse = deviation(image, Degradation.jpeg(image, 0.3f));
        assertThat(fine).isBetween(0.1, 12.0);
        assertThat(coarse).isGreaterThan(1.3 * fine);
    }
}
