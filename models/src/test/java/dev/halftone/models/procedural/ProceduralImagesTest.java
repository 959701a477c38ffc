// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.procedural;

import static org.assertj.core.api.Assertions.assertThat;

import dev.halftone.tensor.Tensor;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class ProceduralImagesTest {
    /** The training data and the default test images must not change by accident. */
    @ParameterizedTest
    @CsvSource({
        "DEAD_LEAVES, 287d7361cd4b8e62",
        "GRADIENTS, 1d05a02be8a993b4",
        "TEXT, 6ab0384c5d747d60",
        "GRATINGS, 5e45f995482832cc",
        "FRACTAL_TEXTURE, 9062149b7d8cdf0b",
        "SCENE, 54da2e46c13d8b17",
        "FACADE, 8bf798e5eaf9b843",
        "LINES, aa2235cc47c7761d"
    })
    void sameSeedSameBytesOnEveryMachine(Kind kind, String hash) throws Exception {
        Tensor image = ProceduralImages.image(kind, 42, 40, 56);
        byte[] bytes = new byte[image.size()];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) (int) image.array()[i];
        }
        byte[] digest = MessageDigest.getInstance("SHA-256").digest(bytes);
        assertThat(HexFormat.of().formatHex(digest)).startsWith(hash);
    }

    @ParameterizedTest
    @EnumSource
    void valuesAreBytesAndSeedsDiffer(Kind kind) {
        float[] a = ProceduralImages.image(kind, 1, 33, 47).toArray();
        float[] b = ProceduralImages.image(kind, 2, 33, 47).toArray();
        assertThat(a).isNotEqualTo(b);
        float min = 255;
        float max = 0;
        for (float v : a) {
            assertThat(v).isBetween(0f, 255f);
            assertThat(v).isEqualTo((float) Math.rint(v));
            min = Math.min(min, v);
            max = Math.max(max, v);
        }
        assertThat(max - min).as("contrast").isGreaterThan(20);
    }

    /**
     * What recipes learn from has what photographs have: both dark and bright images, contrast, and a power spectrum along rows and columns
     * that falls as a power of the frequency.
     */
    @Test
    void calibrationImagesHaveTheStatisticsOfPhotographs() {
        int n = 128;
        double[] power = new double[n / 2];
        double sum = 0;
        double deviations = 0;
        double darkest = 255;
        double brightest = 0;
        for (ProceduralImages.Named named : ProceduralImages.calibrationSet()) {
            double[][] y = luma(named.image());
            double mean =
                    Arrays.stream(y).flatMapToDouble(Arrays::stream).average().orElseThrow();
            double variance = Arrays.stream(y)
                    .flatMapToDouble(Arrays::stream)
                    .map(v -> (v - mean) * (v - mean))
                    .average()
                    .orElseThrow();
            sum += mean / 24;
            deviations += Math.sqrt(variance) / 24;
            darkest = Math.min(darkest, mean);
            brightest = Math.max(brightest, mean);
            addSpectrum(y, mean, power);
        }
        assertThat(sum).isBetween(110.0, 150.0);
        assertThat(deviations).isBetween(35.0, 60.0);
        assertThat(darkest).isLessThan(70);
        assertThat(brightest).isGreaterThan(190);
        // Middles of 48 photographs of BSDS500, measured in the same way: mean 110, deviation 48, exponent -1.49.
        assertThat(slope(power, 2, 50)).isBetween(-1.8, -1.2);
    }

    private static double[][] luma(Tensor image) {
        double[][] y = new double[image.dim(0)][image.dim(1)];
        for (int i = 0; i < y.length; i++) {
            for (int j = 0; j < y[i].length; j++) {
                y[i][j] = 0.299 * image.get(i, j, 0) + 0.587 * image.get(i, j, 1) + 0.114 * image.get(i, j, 2);
            }
        }
        return y;
    }

    /** Adds the power of every row and column of a square, under a Hann window. */
    private static void addSpectrum(double[][] y, double mean, double[] power) {
        int n = y.length;
        double[] cos = new double[n];
        double[] sin = new double[n];
        for (int i = 0; i < n; i++) {
            cos[i] = Math.cos(2 * Math.PI * i / n);
            sin[i] = Math.sin(2 * Math.PI * i / n);
        }
        for (int i = 0; i < n; i++) {
            for (int k = 1; k < power.length; k++) {
                double[] sums = new double[4];
                for (int j = 0; j < n; j++) {
                    double window = 0.5 - 0.5 * cos[j];
                    int turn = k * j % n;
                    sums[0] += window * (y[i][j] - mean) * cos[turn];
                    sums[1] += window * (y[i][j] - mean) * sin[turn];
                    sums[2] += window * (y[j][i] - mean) * cos[turn];
                    sums[3] += window * (y[j][i] - mean) * sin[turn];
                }
                for (double s : sums) {
                    power[k] += s * s;
                }
            }
        }
    }

    /** Returns the exponent of the power law that fits best, every octave counted alike. */
    private static double slope(double[] power, int from, int to) {
        double[] s = new double[5];
        for (int k = from; k <= to; k++) {
            double w = 1.0 / k;
            double x = Math.log(k);
            double y = Math.log(power[k]);
            s[0] += w;
            s[1] += w * x;
            s[2] += w * y;
            s[3] += w * x * x;
            s[4] += w * x * y;
        }
        return (s[0] * s[4] - s[1] * s[2]) / (s[0] * s[3] - s[1] * s[1]);
    }

    @Test
    void testImagesAreNotCalibrationImages() {
        assertThat(ProceduralImages.evaluationSet()).hasSize(8);
        assertThat(ProceduralImages.calibrationSet()).hasSize(24);
        for (ProceduralImages.Named test : ProceduralImages.evaluationSet()) {
            for (ProceduralImages.Named calibration : ProceduralImages.calibrationSet()) {
                assertThat(Arrays.copyOf(test.image().toArray(), 300))
                        .isNotEqualTo(Arrays.copyOf(calibration.image().toArray(), 300));
            }
        }
    }
}
