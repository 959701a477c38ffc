// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.testing.Golden;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class BicubicTest {
    private static final Golden GOLDEN = Golden.open("ops_imresize");
    private static final Compute COMPUTE = Compute.shared();

    static List<String> resizes() {
        return GOLDEN.cases().stream().filter(c -> c.contains("/x")).toList();
    }

    @ParameterizedTest
    @MethodSource("resizes")
    void equalsTheReference(String name) {
        String image = name.substring(0, name.indexOf('/'));
        Tensor out =
                Bicubic.resize(COMPUTE, image(image), GOLDEN.number(name, "scale"), GOLDEN.flag(name, "antialiasing"));
        // The tolerance is stated per image; the bound on the float64 results is ours.
        GOLDEN.assertClose(name + "/out", out.permute(2, 0, 1), GOLDEN.tolerance(image));
        if (GOLDEN.has(name + "/out_f64")) {
            GOLDEN.assertClose(name + "/out_f64", out.permute(2, 0, 1), 1.5e-7);
        }
        if (GOLDEN.has(name + "/out_u8")) {
            for (int i = 0; i < out.size(); i++) {
                out.array()[i] *= 255;
            }
            GOLDEN.assertClose(name + "/out_u8", Pixels.toUint8(out), 0);
        }
    }

    /** The input in 0..1, which is what the reference resized. */
    private static Tensor image(String name) {
        if (GOLDEN.has(name + "/img")) {
            return GOLDEN.tensor(name + "/img").permute(1, 2, 0);
        }
        Tensor image = GOLDEN.tensor(name + "/img_u8");
        for (int i = 0; i < image.size(); i++) {
            image.array()[image.offset() + i] /= 255;
        }
        return image;
    }

    static List<String> axes() {
        return GOLDEN.keys().stream().filter(k -> k.endsWith("/weights")).toList();
    }

    @ParameterizedTest
    @MethodSource("axes")
    void weightsEqualTheReference(String key) {
        String name = key.substring(0, key.lastIndexOf('/'));
        int length = Integer.parseInt(name.substring(name.indexOf("len") + 3, name.indexOf("_x")));
        String factor = name.substring(name.indexOf("_x") + 2);
        Tensor expected = GOLDEN.tensor(key);
        int firstPadded = (int) GOLDEN.stored(name + "/sym").toDoubles()[0];
        double[] indices = GOLDEN.stored(name + "/indices").toDoubles();

        ResizeWeights actual =
                ResizeWeights.of(length, factor.equals("1_3") ? 1.0 / 3 : Double.parseDouble(factor), true);

        assertThat(actual.outputs()).isEqualTo(expected.dim(0));
        for (int i = 0; i < actual.outputs(); i++) {
            // Both as one dense row over the input, so that taps of weight zero do not matter.
            double[] row = new double[length];
            for (int k = 0; k < expected.dim(1); k++) {
                int at = (int) indices[i * expected.dim(1) + k] - firstPadded;
                row[mirror(at, length)] += expected.get(i, k);
            }
            for (int k = 0; k < actual.taps(); k++) {
                row[actual.index()[i * actual.taps() + k]] -= actual.weight()[i * actual.taps() + k];
            }
            for (int at = 0; at < length; at++) {
                // The reference computes positions up to 240 in float32: an ulp is 1.5e-5, a weight's slope below 1.1.
                assertThat(row[at]).as("%s: output %d, input %d", name, i, at).isCloseTo(0, within(2e-5));
            }
        }
    }

    private static int mirror(int i, int length) {
        return i < 0 ? -1 - i : i >= length ? 2 * length - 1 - i : i;
    }

    @ParameterizedTest
    @ValueSource(doubles = {0.07, 0.25, 1.0 / 3, 0.5, 0.9, 1, 1.5, 2, 3, 4, 7.3})
    void weightsSumToOneAndStayInside(double scale) {
        for (int length = 1; length < 40; length++) {
            ResizeWeights weights = ResizeWeights.of(length, scale, true);
            assertThat(weights.outputs()).isEqualTo((int) Math.ceil(length * scale));
            for (int i = 0; i < weights.outputs(); i++) {
                double sum = 0;
                for (int k = i * weights.taps(); k < (i + 1) * weights.taps(); k++) {
                    assertThat(weights.index()[k]).isBetween(0, length - 1);
                    sum += weights.weight()[k];
                }
                assertThat(sum).isCloseTo(1, within(1e-12));
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 1, 2", "1, 7, 0.5", "5, 3, 0.25", "9, 4, 1.7", "16, 12, 0.5", "13, 18, 3"})
    void aUint8ImageIsRoundedAfterEachPass(int height, int width, double scale) {
        SplittableRandom random = new SplittableRandom(height * 31L + width);
        Tensor image = Tensor.zeros(height, width, 3);
        for (int i = 0; i < image.size(); i++) {
            image.array()[i] = random.nextInt(4) == 0 ? 255 : random.nextInt(256);
        }
        Tensor rows = naive(image, scale, 0);
        Tensor expected = naive(rows, scale, 1);
        assertThat(Bicubic.resizeUint8(COMPUTE, image, scale).toArray()).isEqualTo(expected.toArray());
    }

    /** One pass written out per value. */
    private static Tensor naive(Tensor image, double scale, int axis) {
        ResizeWeights weights = ResizeWeights.of(image.dim(axis), scale, true);
        int[] dims = image.shape().dims();
        dims[axis] = weights.outputs();
        Tensor out = Tensor.zeros(dims);
        for (int y = 0; y < dims[0]; y++) {
            for (int x = 0; x < dims[1]; x++) {
                for (int c = 0; c < dims[2]; c++) {
                    double sum = 0;
                    for (int k = 0; k < weights.taps(); k++) {
                        int tap = (axis == 0 ? y : x) * weights.taps() + k;
                        int at = weights.index()[tap];
                        sum += weights.weight()[tap] * (axis == 0 ? image.get(at, x, c) : image.get(y, at, c));
                    }
                    out.set((float) Math.clamp(Math.floor(sum + 0.5), 0, 255), y, x, c);
                }
            }
        }
        return out;
    }

    @Test
    void theNumberOfThreadsDoesNotMatter() {
        Tensor image = image("real");
        try (Compute one = Compute.ofThreads(1);
                Compute five = Compute.ofThreads(5)) {
            assertThat(Bicubic.resize(five, image, 1.37).toArray())
                    .isEqualTo(Bicubic.resize(one, image, 1.37).toArray());
        }
    }

    @Test
    void aViewIsResizedLikeItsCopy() {
        Tensor stack = Tensor.zeros(2, 9, 7, 3);
        SplittableRandom random = new SplittableRandom(5);
        for (int i = 0; i < stack.size(); i++) {
            stack.array()[i] = (float) random.nextDouble();
        }
        Tensor view = stack.slice(1);
        assertThat(Bicubic.resize(COMPUTE, view, 2).toArray())
                .isEqualTo(Bicubic.resize(COMPUTE, view.copy(), 2).toArray());
    }

    @ParameterizedTest
    @ValueSource(doubles = {0, -1, Double.NaN, Double.POSITIVE_INFINITY, 1e-12, 1e12})
    void refusesImpossibleFactors(double scale) {
        assertThatThrownBy(() -> Bicubic.resize(COMPUTE, Tensor.zeros(4, 4, 3), scale))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("4 pixels by a factor of " + scale);
    }

    @Test
    void refusesWhatIsNoImage() {
        assertThatThrownBy(() -> Bicubic.resize(COMPUTE, Tensor.zeros(4, 4), 2))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("[4, 4]");
    }
}
