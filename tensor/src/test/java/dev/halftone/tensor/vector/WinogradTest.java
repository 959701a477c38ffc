// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.ConvGeometry;
import dev.halftone.tensor.kernels.ConvKernels;
import dev.halftone.tensor.kernels.ScalarKernels;
import dev.halftone.tensor.kernels.WinogradWeight;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.assertj.core.data.Offset;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The vector kernel must equal the scalar one bit for bit. */
class WinogradTest {
    private final ConvKernels vector = new VectorKernels().conv();
    private final ConvKernels scalar = new ScalarKernels().conv();

    private static Tensor random(SplittableRandom random, int offset, int... dims) {
        Tensor t = Tensor.zeros(dims);
        float[] array = new float[offset + t.size()];
        for (int i = 0; i < array.length; i++) {
            array[i] = (float) random.nextDouble(-1, 1);
        }
        return Tensor.wrap(array, offset, t.shape());
    }

    private static Tensor run(
            ConvKernels kernels, ConvGeometry g, WinogradWeight weight, Tensor x, boolean relu, int... cuts) {
        int r = weight.shuffle();
        Tensor y = Tensor.zeros(g.batch(), g.outHeight() * r, g.outWidth() * r, g.outChannels() / (r * r));
        float[] scratch = new float[kernels.winogradScratch(weight)];
        int from = 0;
        for (int i = 0; i <= cuts.length; i++) {
            int to = i < cuts.length ? cuts[i] : WinogradWeight.blocks(g);
            Arrays.fill(scratch, Float.NaN);
            kernels.winograd(g, weight, x, relu, y, scratch, from, to);
            from = to;
        }
        return y;
    }

    @ParameterizedTest
    @CsvSource({
        "1, 8, 8, 16, 16, 1",
        "2, 9, 7, 16, 17, 1",
        "1, 1, 1, 20, 16, 1",
        "1, 2, 70, 33, 60, 1",
        "1, 5, 131, 16, 30, 1",
        "3, 4, 5, 64, 64, 1",
        "1, 6, 9, 32, 128, 2",
        "2, 3, 10, 16, 180, 3",
        "1, 7, 6, 60, 72, 2"
    })
    void equalsTheScalarKernelBitForBitAndTheDirectConvolutionNearly(
            int n, int h, int w, int in, int out, int shuffle) {
        SplittableRandom r = new SplittableRandom(h * 100L + w);
        ConvGeometry g = new ConvGeometry(n, h, w, in, out, 3, 1, 1);
        Tensor x = random(r, 3, n, h, w, in);
        Tensor w33 = random(r, 5, 3, 3, in, out);
        Tensor bias = random(r, 1, out);
        for (boolean relu : new boolean[] {false, true}) {
            WinogradWeight weight = WinogradWeight.of(w33, relu ? bias : null, shuffle);
            Tensor y = run(scalar, g, weight, x, relu);
            int blocks = WinogradWeight.blocks(g);
            assertThat(run(vector, g, weight, x, relu, blocks / 3, blocks / 2).toArray())
                    .isEqualTo(y.toArray());
            assertClose(g, x, w33, relu ? bias : null, relu, y, shuffle);
        }
    }

    /** Any mistake but rounding is far beyond this; see the next test for rounding. */
    private void assertClose(
            ConvGeometry g, Tensor x, Tensor weight, @Nullable Tensor bias, boolean relu, Tensor y, int shuffle) {
        Tensor direct = Tensor.zeros(g.batch(), g.outHeight(), g.outWidth(), g.outChannels());
        scalar.forward(g, x, weight, bias, relu, direct, 0, g.rows());
        for (int i = 0; i < direct.size(); i++) {
            int c = i % g.outChannels();
            int ox = i / g.outChannels() % g.outWidth();
            int row = i / g.outChannels() / g.outWidth();
            int part = c % (shuffle * shuffle);
            float own = y.get(
                    row / g.outHeight(),
                    row % g.outHeight() * shuffle + part / shuffle,
                    ox * shuffle + part % shuffle,
                    c / (shuffle * shuffle));
            assertThat(own).as("value %d", i).isCloseTo(direct.array()[i], Offset.offset(1e-4f));
        }
    }

    @ParameterizedTest
    @CsvSource({"16, 5", "32, 6", "64, 7"})
    void roundingErrorsAreTwiceThoseOfTheDirectConvolution(int channels, int seed) {
        SplittableRandom r = new SplittableRandom(seed);
        ConvGeometry g = new ConvGeometry(1, 18, 18, channels, 16, 3, 1, 1);
        Tensor x = random(r, 0, 1, 18, 18, channels);
        Tensor w33 = random(r, 0, 3, 3, channels, 16);
        Tensor y = run(vector, g, WinogradWeight.of(w33, null, 1), x, false);
        Tensor direct = Tensor.zeros(y.shape());
        vector.forward(g, x, w33, null, false, direct, 0, g.rows());
        double own = 0;
        double other = 0;
        // Without the border, where the direct convolution skips additions.
        for (int oy = 1; oy < 17; oy++) {
            for (int ox = 1; ox < 17; ox++) {
                for (int c = 0; c < 16; c++) {
                    double exact = 0;
                    for (int i = 0; i < 9 * channels; i++) {
                        int tap = i / channels;
                        exact += (double) x.get(0, oy - 1 + tap / 3, ox - 1 + tap % 3, i % channels)
                                * w33.get(tap / 3, tap % 3, i % channels, c);
                    }
                    own += Math.pow(y.get(0, oy, ox, c) - exact, 2);
                    other += Math.pow(direct.get(0, oy, ox, c) - exact, 2);
                }
            }
        }
        assertThat(Math.sqrt(own / other)).isLessThan(2.2);
    }

    @Test
    void aBandOfRowsThatBeginsAtATileGivesTheSameBits() {
        SplittableRandom r = new SplittableRandom(9);
        int width = 11;
        Tensor x = random(r, 0, 1, 22, width, 16);
        WinogradWeight weight = WinogradWeight.of(random(r, 0, 3, 3, 16, 64), random(r, 0, 64), 2);
        Tensor whole = run(vector, new ConvGeometry(1, 22, width, 16, 64, 3, 1, 1), weight, x, true);
        int row = width * 16;
        for (int from = 0; from < 22; from += 4) {
            for (int to = from + 4; to < 26; to += 8) {
                int top = from == 0 ? 1 : 0;
                int bottom = to >= 22 ? 1 : 0;
                int first = from - 1 + top;
                int rows = Math.min(to, 22) + 1 - bottom - first;
                ConvGeometry g = new ConvGeometry(1, rows, width, 16, 64, 3, 1, 1, top, bottom);
                Tensor band = Tensor.wrap(x.array(), first * row, Shape.of(1, rows, width, 16));
                float[] part = Arrays.copyOfRange(whole.array(), from * 4 * row, Math.min(to, 22) * 4 * row);
                assertThat(run(vector, g, weight, band, true).toArray()).isEqualTo(part);
                assertThat(run(scalar, g, weight, band, true).toArray()).isEqualTo(part);
            }
        }
    }

    @Test
    void refusesWhatDoesNotSuit() {
        assertThat(WinogradWeight.suits(Shape.of(3, 3, 16, 16), 1, 1)).isTrue();
        assertThat(WinogradWeight.suits(Shape.of(3, 3, 15, 16), 1, 1)).isFalse();
        assertThat(WinogradWeight.suits(Shape.of(3, 3, 16, 3), 1, 1)).isFalse();
        assertThat(WinogradWeight.suits(Shape.of(3, 3, 16, 16), 0, 1)).isFalse();
        assertThat(WinogradWeight.suits(Shape.of(3, 3, 16, 32), 1, 2)).isFalse();
        assertThat(WinogradWeight.suits(Shape.of(1, 1, 16, 16), 1, 1)).isFalse();
        assertThat(WinogradWeight.suitsShuffle(64, 2)).isTrue();
        assertThat(WinogradWeight.suitsShuffle(48, 2)).isFalse();
        assertThatThrownBy(() -> WinogradWeight.of(Tensor.zeros(3, 3, 16, 8), null, 1))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("[3, 3, 16, 8]");
        WinogradWeight weight = WinogradWeight.of(Tensor.zeros(3, 3, 16, 16), null, 1);
        ConvGeometry g = new ConvGeometry(1, 4, 4, 32, 16, 3, 1, 1);
        assertThatThrownBy(() -> run(vector, g, weight, Tensor.zeros(1, 4, 4, 32), false))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("16 to 16 channels");
    }
}
