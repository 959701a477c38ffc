// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.tensor.Tensor;
import dev.halftone.testing.Golden;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class MetricsTest {
    private static final Golden GOLDEN = Golden.open("ops_metrics");
    private static final double DECIBELS = 1e-4;
    private static final double SSIM = 1e-6;

    static List<String> pairs() {
        return GOLDEN.cases().stream().filter(c -> c.startsWith("pairs/")).toList();
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void equalTheReference(String pair) {
        Tensor a = GOLDEN.tensor(pair + "/a");
        Tensor b = GOLDEN.tensor(pair + "/b");
        double[] psnr = GOLDEN.stored(pair + "/psnr").toDoubles();
        double[] ssim = GOLDEN.stored(pair + "/ssim").toDoubles();
        int[] borders = GOLDEN.integers(pair, "crop_border_rows");
        for (int i = 0; i < borders.length; i++) {
            checkPsnr(Metrics.psnr(a, b, borders[i]), psnr[2 * i]);
            checkPsnr(Metrics.psnrY(a, b, borders[i]), psnr[2 * i + 1]);
            assertThat(Metrics.ssim(a, b, borders[i])).isCloseTo(ssim[2 * i], within(SSIM));
            assertThat(Metrics.ssimY(a, b, borders[i])).isCloseTo(ssim[2 * i + 1], within(SSIM));
        }
    }

    private static void checkPsnr(double actual, double expected) {
        if (Double.isInfinite(expected)) {
            assertThat(actual).isEqualTo(expected);
        } else {
            assertThat(actual).isCloseTo(expected, within(DECIBELS));
        }
    }

    @Test
    void greyImagesEqualTheReference() {
        Tensor a = grey("gray/a");
        Tensor b = grey("gray/b");
        int border = GOLDEN.integer("gray", "crop_border");
        assertThat(Metrics.psnr(a, b, border)).isCloseTo(GOLDEN.scalar("gray/psnr"), within(DECIBELS));
        assertThat(Metrics.ssim(a, b, border)).isCloseTo(GOLDEN.scalar("gray/ssim"), within(SSIM));
    }

    private static Tensor grey(String key) {
        Tensor t = GOLDEN.tensor(key);
        return t.reshape(t.dim(0), t.dim(1), 1);
    }

    @Test
    void theWindowEqualsTheReference() {
        assertThat(Ssim.gaussian())
                .containsExactly(GOLDEN.stored("ssim_gaussian_kernel_11_1.5").toDoubles(), within(1e-16));
    }

    @Test
    void equalImagesScoreInfinityAndExactlyOne() {
        Tensor a = random(24, 31, 3, 1);
        assertThat(Metrics.psnrY(a, a.copy(), 2)).isEqualTo(Double.POSITIVE_INFINITY);
        assertThat(Metrics.ssimY(a, a.copy(), 2)).isEqualTo(1);
        assertThat(Metrics.ssim(a, a.copy(), 0)).isEqualTo(1);
    }

    @ParameterizedTest
    @ValueSource(ints = {11, 12, 17})
    void ssimEqualsItsDefinition(int width) {
        Tensor a = random(13, width, 1, 2);
        Tensor b = random(13, width, 1, 3);
        double[] g = Ssim.gaussian();
        double sum = 0;
        int count = 0;
        for (int y = 0; y + 11 <= 13; y++) {
            for (int x = 0; x + 11 <= width; x++) {
                double meanA = 0;
                double meanB = 0;
                for (int i = 0; i < 121; i++) {
                    double w = g[i / 11] * g[i % 11];
                    meanA += w * a.get(y + i / 11, x + i % 11, 0);
                    meanB += w * b.get(y + i / 11, x + i % 11, 0);
                }
                double varianceA = 0;
                double varianceB = 0;
                double covariance = 0;
                for (int i = 0; i < 121; i++) {
                    double w = g[i / 11] * g[i % 11];
                    double p = a.get(y + i / 11, x + i % 11, 0) - meanA;
                    double q = b.get(y + i / 11, x + i % 11, 0) - meanB;
                    varianceA += w * p * p;
                    varianceB += w * q * q;
                    covariance += w * p * q;
                }
                double c1 = 2.55 * 2.55;
                double c2 = 7.65 * 7.65;
                sum += (2 * meanA * meanB + c1)
                        * (2 * covariance + c2)
                        / ((meanA * meanA + meanB * meanB + c1) * (varianceA + varianceB + c2));
                count++;
            }
        }
        assertThat(Metrics.ssim(a, b, 0)).isCloseTo(sum / count, within(1e-12));
    }

    @Test
    void aBorderEqualsACrop() {
        Tensor a = random(21, 19, 3, 4);
        Tensor b = random(21, 19, 3, 5);
        Tensor croppedA = Pixels.crop(a, 3, 3, 15, 13);
        Tensor croppedB = Pixels.crop(b, 3, 3, 15, 13);
        assertThat(Metrics.psnrY(a, b, 3)).isEqualTo(Metrics.psnrY(croppedA, croppedB, 0));
        assertThat(Metrics.ssim(a, b, 3)).isEqualTo(Metrics.ssim(croppedA, croppedB, 0));
    }

    @Test
    void refusesWhatCannotBeCompared() {
        Tensor a = Tensor.zeros(20, 20, 3);
        assertThatThrownBy(() -> Metrics.psnr(a, Tensor.zeros(20, 21, 3), 0))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("[20, 20, 3] and [20, 21, 3]");
        assertThatThrownBy(() -> Metrics.psnr(a, a, 10)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> Metrics.psnr(a, a, -1)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> Metrics.ssim(a, a, 5))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("11x11");
        assertThatThrownBy(() -> Metrics.psnrY(Tensor.zeros(20, 20, 1), Tensor.zeros(20, 20, 1), 0))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("[20, 20, 1]");
    }

    private static Tensor random(int height, int width, int channels, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        Tensor t = Tensor.zeros(height, width, channels);
        for (int i = 0; i < t.size(); i++) {
            t.array()[i] = random.nextInt(256);
        }
        return t;
    }
}
