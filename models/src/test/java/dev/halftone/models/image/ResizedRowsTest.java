// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.models.procedural.ProceduralImages;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import java.io.IOException;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ResizedRowsTest {
    @ParameterizedTest
    @CsvSource({
        "30, 20, 2",
        "7, 9, 3",
        "1, 1, 4",
        "3, 2, 5",
        "64, 48, 0.5",
        "64, 48, 0.25",
        "8, 8, 0.125",
        "16, 40, 0.125"
    })
    void wholeFactorsAreBicubicBitForBit(int height, int width, double factor) throws IOException {
        Tensor image = ProceduralImages.image(9, height, width);
        Tensor expected = Bicubic.resize(Compute.shared(), image, factor);
        ImageRows rows = ResizedRows.of(new DecodedImage(image, null).rows(), expected.dim(1), expected.dim(0));
        Tensor resized = DecodedImage.of(rows).rgb();
        assertThat(resized.shape()).isEqualTo(expected.shape());
        assertThat(resized.toArray()).isEqualTo(expected.toArray());
        assertThatThrownBy(() -> rows.next(new float[3 * resized.dim(1)])).isInstanceOf(IllegalStateException.class);
    }

    @ParameterizedTest
    @CsvSource({"20, 7", "20, 13", "20, 33", "20, 62", "20, 21", "21, 20", "3, 31", "31, 3", "1, 7", "7, 1"})
    void anySizeIsTheDefinitionOfTheKernel(int from, int to) throws IOException {
        Tensor image = ProceduralImages.image(from, from, from);
        ImageRows resized = ResizedRows.of(new DecodedImage(image, null).rows(), to, to);
        float[] row = new float[3 * to];
        for (int y = 0; y < to; y++) {
            resized.next(row);
            double[] down = weights(y, from, to);
            for (int x = 0; x < to; x++) {
                double[] across = weights(x, from, to);
                for (int c = 0; c < 3; c++) {
                    double sum = 0;
                    for (int i = 0; i < from; i++) {
                        for (int j = 0; j < from; j++) {
                            sum += down[i] * across[j] * image.get(i, j, c);
                        }
                    }
                    assertThat((double) row[3 * x + c]).isCloseTo(sum, Offset.offset(2e-5));
                }
            }
        }
    }

    /** Keys' kernel, stretched where it reduces, over a signal that is mirrored at its ends for ever; the weights add up to 1. */
    private static double[] weights(int output, int from, int to) {
        double scale = (double) to / from;
        double shrink = Math.min(1, scale);
        double centre = (output + 0.5) / scale - 0.5;
        double[] weights = new double[from];
        double sum = 0;
        for (int i = -100; i < from + 100; i++) {
            double x = Math.abs(shrink * (centre - i));
            double w = x <= 1
                    ? 1.5 * x * x * x - 2.5 * x * x + 1
                    : x <= 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2 : 0;
            int mirrored = Math.floorMod(i, 2 * from);
            weights[mirrored < from ? mirrored : 2 * from - 1 - mirrored] += w;
            sum += w;
        }
        for (int i = 0; i < from; i++) {
            weights[i] /= sum;
        }
        return weights;
    }

    @Test
    void theSameSizeIsTheImageItself() {
        ImageRows rows = new DecodedImage(Tensor.zeros(3, 4, 3), null).rows();
        assertThat(ResizedRows.of(rows, 4, 3)).isSameAs(rows);
    }
}
