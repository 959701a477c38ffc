// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.tensor.LevelTable;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.PointwiseKernels;
import dev.halftone.tensor.kernels.ScalarKernels;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Bit for bit what the scalar kernels give, on slices of larger arrays, ranges within them and values of every kind. */
final class VectorPointwiseKernelsTest {
    private static final int[] SIZES = {1, 7, 16, 33, 100, 4096, 4097, 10_000};

    private final PointwiseKernels scalar = new ScalarKernels().pointwise();
    private final PointwiseKernels vector = new VectorPointwiseKernels();

    /** A tensor that begins somewhere in its array. */
    private static Tensor tensor(SplittableRandom random, boolean special, int... dims) {
        int offset = random.nextInt(9);
        Shape shape = Shape.of(dims);
        float[] values = new float[offset + shape.size() + 3];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextDouble(-2, 2);
            if (special) {
                switch (random.nextInt(60)) {
                    case 0 -> values[i] = Float.NaN;
                    case 1 -> values[i] = Float.NEGATIVE_INFINITY;
                    case 2 -> values[i] = -0f;
                    case 3 -> values[i] = 1e38f;
                    case 4 -> values[i] = 0f;
                    default -> {}
                }
            }
        }
        return Tensor.wrap(values, offset, shape);
    }

    /** An operation that writes {@code y}. */
    @FunctionalInterface
    private interface Elementwise {
        void run(PointwiseKernels kernels, Tensor a, Tensor b, Tensor y, int from, int to);
    }

    private void assertSame(String name, Elementwise operation) {
        SplittableRandom random = new SplittableRandom(name.hashCode());
        for (int size : SIZES) {
            for (int repeat = 0; repeat < 4; repeat++) {
                Tensor a = tensor(random, true, size);
                Tensor b = tensor(random, true, size);
                Tensor y = tensor(random, false, size);
                Tensor expected = y.copy();
                int from = random.nextInt(size);
                int to = from + random.nextInt(size - from + 1);
                operation.run(scalar, a, b, expected, from, to);
                operation.run(vector, a, b, y, from, to);
                assertThat(bits(y)).as("%s of %d to %d", name, from, to).isEqualTo(bits(expected));
                // In place.
                Tensor first = a.copy();
                Tensor second = a.copy();
                operation.run(scalar, first, b, first, from, to);
                operation.run(vector, second, b, second, from, to);
                assertThat(bits(second)).as("%s in place", name).isEqualTo(bits(first));
            }
        }
    }

    private static int[] bits(Tensor t) {
        float[] values = t.toArray();
        int[] bits = new int[values.length];
        for (int i = 0; i < bits.length; i++) {
            // One NaN is as good as another.
            bits[i] = Float.floatToIntBits(values[i]);
        }
        return bits;
    }

    @ParameterizedTest
    @ValueSource(floats = {0, 0.1f, 1, -0.5f})
    void elementwiseOperations(float f) {
        assertSame("add", (k, a, b, y, from, to) -> k.add(a, b, y, from, to));
        assertSame("addScaled " + f, (k, a, b, y, from, to) -> k.addScaled(a, f, b, y, from, to));
        assertSame("multiply", (k, a, b, y, from, to) -> k.multiply(a, b, y, from, to));
        assertSame("scale " + f, (k, a, b, y, from, to) -> k.scale(a, f, y, from, to));
        assertSame("leakyRelu " + f, (k, a, b, y, from, to) -> k.leakyRelu(a, f, y, from, to));
        assertSame("leakyReluGradient " + f, (k, a, b, y, from, to) -> k.leakyReluGradient(a, f, b, y, from, to));
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void reductions(boolean special) {
        SplittableRandom random = new SplittableRandom(special ? 5 : 6);
        for (int size : SIZES) {
            for (int repeat = 0; repeat < 4; repeat++) {
                Tensor a = tensor(random, special, size);
                Tensor b = tensor(random, special, size);
                int from = random.nextInt(size);
                int to = from + random.nextInt(size - from + 1);
                assertThat(Double.valueOf(vector.sum(a, from, to))).isEqualTo(Double.valueOf(scalar.sum(a, from, to)));
                assertThat(Double.valueOf(vector.absoluteError(a, b, from, to)))
                        .isEqualTo(Double.valueOf(scalar.absoluteError(a, b, from, to)));
                assertThat(Double.valueOf(vector.squaredError(a, b, from, to)))
                        .isEqualTo(Double.valueOf(scalar.squaredError(a, b, from, to)));
                if (from < to) {
                    assertThat(Float.valueOf(vector.min(a, from, to)))
                            .isEqualTo(Float.valueOf(scalar.min(a, from, to)));
                    assertThat(Float.valueOf(vector.max(a, from, to)))
                            .isEqualTo(Float.valueOf(scalar.max(a, from, to)));
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 4, 5, 16, 255})
    void tablesOfLevels(int size) {
        float[] levels = new float[size];
        for (int i = 0; i < size; i++) {
            levels[i] = -1.25f + (float) Math.pow((i + 1.0) / size, 3);
        }
        LevelTable table = LevelTable.of(8, levels);
        assertSame("fakeQuantize " + size, (k, a, b, y, from, to) -> k.fakeQuantize(a, table, y, from, to));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 8})
    void fakeQuantization(int bits) {
        UniformGrid grid = new UniformGrid(bits, -1.25f, 0.75f);
        assertSame("fakeQuantize " + bits, (k, a, b, y, from, to) -> k.fakeQuantize(a, grid, y, from, to));
        assertSame(
                "fakeQuantizeGradient " + bits,
                (k, a, b, y, from, to) -> k.fakeQuantizeGradient(a, grid, b, y, from, to));
        SplittableRandom random = new SplittableRandom(bits);
        for (int size : SIZES) {
            Tensor x = tensor(random, true, size);
            Tensor dy = tensor(random, false, size);
            // On the bounds, on ties between two codes.
            for (int i = 0; i < size; i += 5) {
                x.set(grid.lower() + random.nextInt(2 * grid.maxCode() + 1) * grid.scale() / 2, i);
            }
            int from = random.nextInt(size);
            int to = from + random.nextInt(size - from + 1);
            Tensor y = Tensor.zeros(size);
            assertThat(vector.fakeQuantizeGradient(x, grid, dy, y, from, to))
                    .isEqualTo(scalar.fakeQuantizeGradient(x, grid, dy, y, from, to));
            Tensor expected = Tensor.zeros(size);
            scalar.fakeQuantize(x, grid, expected, from, to);
            vector.fakeQuantize(x, grid, y.fill(0), from, to);
            assertThat(bits(y)).isEqualTo(bits(expected));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 16, 60, 64, 101})
    void rowsAndColumns(int columns) {
        SplittableRandom random = new SplittableRandom(columns);
        for (int rows : new int[] {1, 5, 40}) {
            Tensor a = tensor(random, false, rows, columns);
            Tensor row = tensor(random, false, columns);
            int from = random.nextInt(columns);
            int to = from + random.nextInt(columns - from + 1);
            Tensor expected = Tensor.zeros(columns);
            Tensor found = Tensor.zeros(columns);
            scalar.columnSums(a, expected, from, to);
            vector.columnSums(a, found, from, to);
            assertThat(found.toArray()).isEqualTo(expected.toArray());
            Tensor y = Tensor.zeros(rows, columns);
            Tensor z = Tensor.zeros(rows, columns);
            scalar.addRow(a, row, y, rows / 3, rows);
            vector.addRow(a, row, z, rows / 3, rows);
            assertThat(z.toArray()).isEqualTo(y.toArray());
        }
    }

    @Test
    void refusesOtherSizesAndRanges() {
        Tensor a = Tensor.zeros(4);
        assertThatIllegalArgumentException().isThrownBy(() -> vector.add(a, Tensor.zeros(5), a, 0, 4));
        assertThatThrownBy(() -> vector.sum(a, 2, 5)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> vector.min(a, 2, 2)).isInstanceOf(IndexOutOfBoundsException.class);
    }
}
