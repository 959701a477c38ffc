// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.Exponential;
import dev.halftone.tensor.kernels.NormKernels;
import dev.halftone.tensor.kernels.ScalarKernels;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Vector against scalar kernels, bit for bit, and these against double precision. */
class VectorNormKernelsTest {
    private static final float EPSILON = 1e-5f;

    private final NormKernels vector = new VectorKernels().norm();
    private final NormKernels scalar = new ScalarKernels().norm();

    private static Tensor random(SplittableRandom random, int offset, double range, int... dims) {
        Tensor t = Tensor.zeros(dims);
        float[] array = new float[offset + t.size() + 3];
        for (int i = 0; i < array.length; i++) {
            array[i] = (float) random.nextDouble(-range, range);
        }
        return Tensor.wrap(array, offset, t.shape());
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 4, 8, 12, 15, 16, 17, 33, 60, 64, 120, 180})
    void layerNorm(int columns) {
        SplittableRandom r = new SplittableRandom(columns);
        int rows = 7;
        Tensor x = random(r, 3, 2, rows, columns);
        Tensor weight = random(r, 1, 1, columns);
        Tensor bias = random(r, 2, 1, columns);
        Tensor dy = random(r, 5, 1, rows, columns);
        Tensor a = random(r, 4, 1, rows, columns);
        Tensor b = random(r, 7, 1, rows, columns);
        vector.layerNorm(x, weight, bias, EPSILON, a, 0, 3);
        vector.layerNorm(x, weight, bias, EPSILON, a, 3, rows);
        scalar.layerNorm(x, weight, bias, EPSILON, b, 0, rows);
        assertThat(a.toArray()).isEqualTo(b.toArray());
        Tensor dxa = random(r, 4, 1, rows, columns);
        Tensor dxb = random(r, 7, 1, rows, columns);
        Tensor sums = random(r, 2, 1, 2, columns);
        Tensor sumsB = sums.copy();
        vector.layerNormGradient(x, weight, EPSILON, dy, dxa, sums, 0, 3);
        vector.layerNormGradient(x, weight, EPSILON, dy, dxa, sums, 3, rows);
        scalar.layerNormGradient(x, weight, EPSILON, dy, dxb, sumsB, 0, rows);
        assertThat(dxa.toArray()).isEqualTo(dxb.toArray());
        assertThat(sums.toArray()).isEqualTo(sumsB.toArray());
        for (int row = 0; row < rows; row++) {
            double mean = 0;
            for (int c = 0; c < columns; c++) {
                mean += (double) x.get(row, c) / columns;
            }
            double variance = 0;
            for (int c = 0; c < columns; c++) {
                variance += (x.get(row, c) - mean) * (x.get(row, c) - mean) / columns;
            }
            double scale = 1 / Math.sqrt(variance + EPSILON);
            for (int c = 0; c < columns; c++) {
                double expected = (x.get(row, c) - mean) * scale * weight.get(c) + bias.get(c);
                assertThat((double) b.get(row, c)).isCloseTo(expected, within(2e-6));
            }
        }
    }

    @Test
    void gelu() {
        Tensor x = Tensor.zeros(24_037);
        for (int i = 0; i < x.size(); i++) {
            x.set((i - 12_018) * 1e-3f, i);
        }
        SplittableRandom r = new SplittableRandom(5);
        Tensor dy = random(r, 5, 1, x.size());
        Tensor a = random(r, 3, 1, x.size());
        Tensor b = random(r, 2, 1, x.size());
        vector.gelu(x, a, 0, 1001);
        vector.gelu(x, a, 1001, x.size());
        scalar.gelu(x, b, 0, x.size());
        assertThat(a.toArray()).isEqualTo(b.toArray());
        for (int i = 0; i < x.size(); i++) {
            double v = x.get(i);
            assertThat((double) b.get(i))
                    .as("gelu(%s)", v)
                    .isCloseTo(v * cumulative(v), within(1e-9 + 2e-7 * Math.abs(v)));
        }
        Tensor da = random(r, 3, 1, x.size());
        Tensor db = random(r, 2, 1, x.size());
        vector.geluGradient(x, dy, da, 0, x.size());
        scalar.geluGradient(x, dy, db, 0, x.size());
        assertThat(da.toArray()).isEqualTo(db.toArray());
        for (int i = 0; i < x.size(); i += 7) {
            double v = x.get(i);
            double slope = cumulative(v) + v * Math.exp(-v * v / 2) / Math.sqrt(2 * Math.PI);
            assertThat((double) db.get(i)).as("gelu'(%s)", v).isCloseTo(dy.get(i) * slope, within(6e-7));
        }
    }

    /** The normal distribution by its series around 0, which is accurate in the middle, or the continued fraction of its tail. */
    private static double cumulative(double x) {
        double a = Math.abs(x);
        if (a < 3) {
            double term = x;
            double sum = x;
            for (int k = 1; k < 60; k++) {
                term *= x * x / (2 * k + 1);
                sum += term;
            }
            return 0.5 + sum * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
        }
        double fraction = a;
        for (int k = 200; k > 0; k--) {
            fraction = a + k / fraction;
        }
        double tail = Math.exp(-a * a / 2) / Math.sqrt(2 * Math.PI) / fraction;
        return x < 0 ? tail : 1 - tail;
    }

    @Test
    void exponential() {
        for (int i = 0; i < 87_000; i++) {
            float x = -i * 1e-3f;
            double expected = Math.exp(x);
            assertThat((double) Exponential.exp(x)).as("exp(%s)", x).isCloseTo(expected, within(2e-7 * expected));
        }
        assertThat(Exponential.exp(0)).isEqualTo(1);
        assertThat(Exponential.exp(-87.1f)).isZero();
        assertThat(Exponential.exp(Float.NEGATIVE_INFINITY)).isZero();
        assertThat(Exponential.exp(Float.NaN)).isNaN();
    }
}
