// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import static org.assertj.core.api.Assertions.assertThat;

import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.ConvGeometry;
import dev.halftone.tensor.kernels.Kernels;
import dev.halftone.tensor.kernels.ScalarKernels;
import java.util.SplittableRandom;
import org.assertj.core.data.Offset;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The vector kernels must equal the scalar ones bit for bit, and these a naive sum in double precision. */
class VectorKernelsTest {
    private final Kernels vector = new VectorKernels();
    private final Kernels scalar = new ScalarKernels();

    private static Tensor random(SplittableRandom random, int offset, int... dims) {
        Tensor t = Tensor.zeros(dims);
        float[] array = new float[offset + t.size()];
        for (int i = 0; i < array.length; i++) {
            array[i] = (float) random.nextDouble(-1, 1);
        }
        return Tensor.wrap(array, offset, t.shape());
    }

    @ParameterizedTest
    @CsvSource({
        "1, 5, 7, 3, 8, 3, 1, 1",
        "2, 9, 6, 8, 3, 3, 1, 1",
        "1, 13, 17, 32, 32, 3, 1, 1",
        "1, 4, 3, 20, 70, 1, 0, 1",
        "1, 6, 6, 3, 64, 3, 1, 1",
        "2, 5, 5, 48, 48, 1, 1, 1",
        "1, 8, 8, 4, 37, 3, 0, 1",
        "1, 1, 1, 5, 5, 3, 1, 1",
        "1, 3, 2, 64, 128, 3, 1, 1",
        "2, 9, 8, 7, 17, 3, -1, 1",
        "1, 3, 2, 4, 17, 1, 1, 1",
        "1, 3, 2, 4, 3, 1, 1, 1",
        "2, 3, 2, 4, 5, 3, 4, 1",
        "3, 5, 4, 7, 9, 1, -1, 1",
        "1, 1, 40, 6, 60, 3, 1, 1",
        "1, 7, 19, 12, 180, 3, 1, 1",
        "1, 6, 7, 6, 10, 3, 1, 2",
        "1, 6, 7, 5, 5, 3, 1, 5",
        "1, 4, 4, 256, 16, 3, 1, 1",
        "1, 3, 521, 5, 3, 3, 1, 1",
        "1, 2, 300, 4, 3, 3, 2, 1",
        "1, 7, 516, 2, 4, 5, -1, 1"
    })
    void convolution(int n, int h, int w, int in, int out, int k, int padding, int groups) {
        SplittableRandom r = new SplittableRandom(31L * h + out);
        ConvGeometry g = new ConvGeometry(n, h, w, in, out, k, padding, groups);
        Tensor x = random(r, 3, n, h, w, in);
        Tensor weight = random(r, 5, k, k, in / groups, out);
        Tensor bias = random(r, 1, out);
        Tensor dy = random(r, 2, n, g.outHeight(), g.outWidth(), out);
        for (boolean relu : new boolean[] {false, true}) {
            Tensor a = random(r, 7, n, g.outHeight(), g.outWidth(), out);
            Tensor b = random(r, 4, n, g.outHeight(), g.outWidth(), out);
            vector.conv().forward(g, x, weight, relu ? bias : null, relu, a, 0, g.rows() / 2);
            vector.conv().forward(g, x, weight, relu ? bias : null, relu, a, g.rows() / 2, g.rows());
            scalar.conv().forward(g, x, weight, relu ? bias : null, relu, b, 0, g.rows());
            assertThat(a.toArray()).isEqualTo(b.toArray());
            assertOracle(g, x, weight, relu ? bias : null, relu, b);
        }
        Tensor a = random(r, 7, k, k, in / groups, out);
        Tensor b = random(r, 4, k, k, in / groups, out);
        int cut = g.weightRows() / 3;
        vector.conv().weightGradient(g, x, dy, a, 0, cut);
        vector.conv().weightGradient(g, x, dy, a, cut, g.weightRows());
        scalar.conv().weightGradient(g, x, dy, b, 0, g.weightRows());
        assertThat(a.toArray()).isEqualTo(b.toArray());
    }

    private static void assertOracle(
            ConvGeometry g, Tensor x, Tensor weight, @Nullable Tensor bias, boolean relu, Tensor y) {
        int inGroup = g.inChannels() / g.groups();
        int outGroup = g.outChannels() / g.groups();
        for (int row = 0; row < g.rows(); row++) {
            for (int ox = 0; ox < g.outWidth(); ox++) {
                for (int c = 0; c < g.outChannels(); c++) {
                    double sum = bias == null ? 0 : bias.get(c);
                    double magnitude = Math.abs(sum);
                    for (int ky = 0; ky < g.kernel(); ky++) {
                        for (int kx = 0; kx < g.kernel(); kx++) {
                            int iy = row % g.outHeight() + ky - g.padding();
                            int ix = ox + kx - g.padding();
                            if (iy < 0 || iy >= g.height() || ix < 0 || ix >= g.width()) {
                                continue;
                            }
                            for (int ci = 0; ci < inGroup; ci++) {
                                double p = (double) x.get(row / g.outHeight(), iy, ix, c / outGroup * inGroup + ci)
                                        * weight.get(ky, kx, ci, c);
                                sum += p;
                                magnitude += Math.abs(p);
                            }
                        }
                    }
                    int terms = g.weightRows() + 1;
                    assertThat((double) y.get(row / g.outHeight(), row % g.outHeight(), ox, c))
                            .isCloseTo(
                                    relu ? Math.max(sum, 0) : sum, Offset.offset(terms * 0x1p-24 * magnitude + 1e-30));
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 1, 1", "5, 7, 3", "16, 60, 180", "64, 120, 60", "13, 600, 70", "6, 1, 64", "7, 33, 16", "0, 4, 4"})
    void matmul(int m, int k, int n) {
        SplittableRandom r = new SplittableRandom(m * 100L + k);
        Tensor a = random(r, 3, m, k);
        Tensor b = random(r, 2, k, n);
        Tensor bias = random(r, 5, n);
        Tensor at = random(r, 1, k, m);
        for (@Nullable Tensor withBias : new @Nullable Tensor[] {bias, null}) {
            Tensor c = random(r, 4, m, n);
            Tensor d = random(r, 6, m, n);
            vector.matmul().matmul(a, b, withBias, c, 0, m / 2);
            vector.matmul().matmul(a, b, withBias, c, m / 2, m);
            scalar.matmul().matmul(a, b, withBias, d, 0, m);
            assertThat(c.toArray()).isEqualTo(d.toArray());
        }
        Tensor c = random(r, 4, m, n);
        Tensor d = random(r, 6, m, n);
        vector.matmul().matmulTransposedA(at, b, c, 0, m / 2);
        vector.matmul().matmulTransposedA(at, b, c, m / 2, m);
        scalar.matmul().matmulTransposedA(at, b, d, 0, m);
        assertThat(c.toArray()).isEqualTo(d.toArray());
        vector.matmul().addTransposedA(at, b, c, 0, m / 2);
        vector.matmul().addTransposedA(at, b, c, m / 2, m);
        scalar.matmul().addTransposedA(at, b, d, 0, m);
        assertThat(c.toArray()).isEqualTo(d.toArray());
    }
}
