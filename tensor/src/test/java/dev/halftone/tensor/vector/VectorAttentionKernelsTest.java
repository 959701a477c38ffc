// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.tensor.LevelTable;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.AttentionGeometry;
import dev.halftone.tensor.kernels.AttentionGrids;
import dev.halftone.tensor.kernels.AttentionKernels;
import dev.halftone.tensor.kernels.ScalarKernels;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Vector against scalar kernels, bit for bit, and these against sums in double precision. */
class VectorAttentionKernelsTest {
    private final AttentionKernels vector = new VectorKernels().attention();
    private final AttentionKernels scalar = new ScalarKernels().attention();

    private static Tensor random(SplittableRandom random, int offset, double range, int... dims) {
        Tensor t = Tensor.zeros(dims);
        return Tensor.wrap(array(random, offset + t.size() + 2, range), offset, t.shape());
    }

    private static float[] array(SplittableRandom random, int size, double range) {
        float[] array = new float[size];
        for (int i = 0; i < size; i++) {
            array[i] = (float) random.nextDouble(-range, range);
        }
        return array;
    }

    @ParameterizedTest
    @CsvSource({
        "1, 8, 8, 1, 1, 8, 0",
        "2, 8, 16, 6, 10, 8, 4",
        "1, 8, 12, 2, 6, 4, 2",
        "1, 14, 7, 2, 6, 7, 3",
        "1, 3, 6, 3, 5, 3, 1",
        "1, 4, 2, 2, 17, 1, 0",
        "1, 10, 10, 1, 32, 5, 0"
    })
    void attention(int batch, int height, int width, int heads, int depth, int window, int shift) {
        AttentionGeometry g = new AttentionGeometry(batch, height, width, heads, depth, window, shift);
        Case plain = new Case(g, null);
        plain.check();
        assertOracle(g, plain.qkv, plain.bias, plain.y);
        new Case(
                        g,
                        AttentionGrids.of(
                                new UniformGrid(2, -0.4f, 0.3f),
                                new UniformGrid(3, -1.5f, 1.7f),
                                new UniformGrid(4, 0, 0.6f),
                                new UniformGrid(1, -1, 0.5f)))
                .check();
        new Case(
                        g,
                        AttentionGrids.of(
                                LevelTable.of(3, -0.4f, -0.1f, 0, 0.1f, 0.3f),
                                new UniformGrid(2, -1.5f, 1.7f),
                                LevelTable.of(2, 0, 0.05f, 0.5f, 1),
                                LevelTable.of(1, -1, 0.5f)))
                .check();
        new Case(
                        g,
                        AttentionGrids.of(
                                new UniformGrid(4, -0.4f, 0.4f),
                                LevelTable.of(2, -1, -0.5f, 0, 2),
                                LevelTable.of(3, 0, 0.02f, 0.05f, 0.1f, 0.5f, 1),
                                new UniformGrid(2, -1, 0.5f)))
                .check();
    }

    /** Random operands, and what the scalar kernels make of them. */
    private final class Case {
        private final AttentionGeometry g;
        private final @Nullable AttentionGrids grids;
        private final SplittableRandom r;
        private final Tensor qkv;
        private final Tensor dy;
        private final float[][] bias;
        private final Tensor y;

        Case(AttentionGeometry g, @Nullable AttentionGrids grids) {
            this.g = g;
            this.grids = grids;
            r = new SplittableRandom(100L * g.heads() + g.window());
            qkv = map(3, 2, 3 * g.channels());
            dy = map(5, 1, g.channels());
            bias = new float[g.kinds()][];
            for (int kind = 0; kind < bias.length; kind++) {
                bias[kind] = array(r, g.biasSize(), 3);
                if (kind > 0) {
                    bias[kind][g.biasSize() / 2] = -100;
                }
            }
            y = map(7, 1, g.channels());
            scalar.forward(g, qkv, bias, grids, y, new float[0], 0, g.windows());
        }

        private Tensor map(int offset, double range, int channels) {
            return random(r, offset, range, g.batch(), g.height(), g.width(), channels);
        }

        void check() {
            Tensor a = map(4, 1, g.channels());
            int half = g.windows() / 2;
            float[] scratch = array(r, vector.scratch(g), 5);
            vector.forward(g, qkv, bias, grids, a, scratch, 0, half);
            vector.forward(g, qkv, bias, grids, a, scratch, half, g.windows());
            assertThat(a.toArray()).isEqualTo(y.toArray());

            Tensor dqkvA = map(4, 1, 3 * g.channels());
            Tensor dqkvB = map(1, 1, 3 * g.channels());
            Tensor dBiasA = Tensor.zeros(2, g.heads() * g.pixels(), g.stride()).slice(1);
            Tensor dBiasB = Tensor.zeros(g.heads() * g.pixels(), g.stride());
            Tensor dBoundsA = grids == null ? null : Tensor.zeros(3, 4, 2).slice(1);
            Tensor dBoundsB = grids == null ? null : Tensor.zeros(4, 2);
            Arrays.fill(scratch, Float.NaN);
            vector.backward(g, qkv, bias, grids, dy, dqkvA, dBiasA, dBoundsA, scratch, 0, half);
            vector.backward(g, qkv, bias, grids, dy, dqkvA, dBiasA, dBoundsA, scratch, half, g.windows());
            scalar.backward(g, qkv, bias, grids, dy, dqkvB, dBiasB, dBoundsB, new float[0], 0, g.windows());
            assertThat(dqkvA.toArray()).isEqualTo(dqkvB.toArray());
            for (int row = 0; row < g.heads() * g.pixels(); row++) {
                assertThat(Arrays.copyOf(dBiasA.slice(row).toArray(), g.pixels()))
                        .isEqualTo(Arrays.copyOf(dBiasB.slice(row).toArray(), g.pixels()));
            }
            if (dBoundsA != null && dBoundsB != null) {
                assertThat(dBoundsA.toArray())
                        .usingComparatorWithPrecision(1e-3f)
                        .containsExactly(dBoundsB.toArray());
            }
        }
    }

    private static void assertOracle(AttentionGeometry g, Tensor qkv, float[][] bias, Tensor y) {
        int n = g.pixels();
        int across = g.width() / g.window();
        int down = g.height() / g.window();
        for (int w = 0; w < g.windows(); w++) {
            int[][] at = new int[n][];
            for (int i = 0; i < n; i++) {
                at[i] = new int[] {
                    w / (across * down),
                    (w / across % down * g.window() + i / g.window() + g.shift()) % g.height(),
                    (w % across * g.window() + i % g.window() + g.shift()) % g.width()
                };
            }
            for (int head = 0; head < g.heads(); head++) {
                for (int i = 0; i < n; i++) {
                    int[] query = at[i];
                    double[] e = new double[n];
                    for (int j = 0; j < n; j++) {
                        double score = bias[g.kind(w)][(head * n + j) * g.stride() + i];
                        for (int c = 0; c < g.depth(); c++) {
                            int channel = head * g.depth() + c;
                            score += (double) qkv.get(query[0], query[1], query[2], channel)
                                    / Math.sqrt(g.depth())
                                    * qkv.get(at[j][0], at[j][1], at[j][2], g.channels() + channel);
                        }
                        e[j] = Math.exp(score);
                    }
                    double sum = Arrays.stream(e).sum();
                    for (int c = 0; c < g.depth(); c++) {
                        int channel = head * g.depth() + c;
                        double expected = IntStream.range(0, n)
                                .mapToDouble(j ->
                                        e[j] / sum * qkv.get(at[j][0], at[j][1], at[j][2], 2 * g.channels() + channel))
                                .sum();
                        assertThat((double) y.get(query[0], query[1], query[2], channel))
                                .isCloseTo(expected, within(4e-6));
                    }
                }
            }
        }
    }

    @Test
    void windowsCoverEveryPixelOnce() {
        AttentionGeometry g = new AttentionGeometry(2, 8, 12, 1, 1, 4, 3);
        int[] pixels = new int[16];
        int[] seen = new int[2 * 8 * 12];
        for (int w = 0; w < g.windows(); w++) {
            g.pixels(w, pixels);
            for (int p : pixels) {
                seen[p]++;
            }
        }
        assertThat(seen).containsOnly(1);
        assertThat(IntStream.range(0, 6).map(g::kind)).containsExactly(0, 0, 1, 2, 2, 3);
    }

    @Test
    void refusesWhatDoesNotFit() {
        assertThatThrownBy(() -> new AttentionGeometry(1, 8, 12, 2, 6, 8, 0)).hasMessageContaining("8x12");
        assertThatThrownBy(() -> new AttentionGeometry(1, 8, 8, 2, 6, 8, 8)).hasMessageContaining("shifted by 8");
        AttentionGeometry g = new AttentionGeometry(1, 8, 8, 2, 6, 8, 0);
        assertThatThrownBy(() -> vector.forward(
                        g,
                        Tensor.zeros(8, 8, 35),
                        new float[1][g.biasSize()],
                        null,
                        Tensor.zeros(8, 8, 12),
                        new float[0],
                        0,
                        1))
                .hasMessageContaining("[8, 8, 35]");
    }
}
