// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.tensor.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class PixelsTest {
    @ParameterizedTest
    @CsvSource({
        "0.5, 0",
        "1.5, 2",
        "2.5, 2",
        "2.50001, 3",
        "254.5, 254",
        "254.51, 255",
        "-0.4, 0",
        "-7, 0",
        "300, 255",
        "Infinity, 255",
        "-Infinity, 0"
    })
    void roundsHalfToEvenAndClamps(float value, float expected) {
        Tensor image = Tensor.of(new float[] {9, value}, 2, 1, 1).slice(1).reshape(1, 1, 1);
        assertThat(Pixels.toUint8(image).toArray()).containsExactly(expected);
        assertThat(image.item()).isEqualTo(value);
    }

    @Test
    void refusesNaN() {
        assertThatThrownBy(() -> Pixels.toUint8(Tensor.of(new float[] {Float.NaN}, 1, 1, 1)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("NaN");
    }

    @Test
    void cropsARectangle() {
        Tensor image = Tensor.zeros(5, 4, 2);
        for (int i = 0; i < image.size(); i++) {
            image.array()[i] = i;
        }
        Tensor cropped = Pixels.crop(image, 1, 2, 3, 2);
        assertThat(cropped.shape().dims()).containsExactly(3, 2, 2);
        for (int y = 0; y < 3; y++) {
            for (int x = 0; x < 2; x++) {
                for (int c = 0; c < 2; c++) {
                    assertThat(cropped.get(y, x, c)).isEqualTo(image.get(y + 1, x + 2, c));
                }
            }
        }
        assertThat(Pixels.crop(image, 0, 0, 5, 4).toArray()).isEqualTo(image.toArray());
    }

    @ParameterizedTest
    @CsvSource({"-1, 0, 1, 1", "0, 0, 6, 1", "0, 3, 1, 2", "5, 0, 1, 1", "0, 0, -1, 1", "2147483647, 0, 1, 1"})
    void refusesARectangleOutside(int top, int left, int height, int width) {
        assertThatThrownBy(() -> Pixels.crop(Tensor.zeros(5, 4, 2), top, left, height, width))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("[5, 4, 2]");
    }

    @Test
    void cropsToMultiples() {
        assertThat(Pixels.modCrop(Tensor.zeros(11, 8, 3), 4).shape().dims()).containsExactly(8, 8, 3);
        assertThatThrownBy(() -> Pixels.modCrop(Tensor.zeros(3, 8, 3), 4))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("[3, 8, 3]");
    }
}
