// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.matrix;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.testing.Golden;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The decomposition against LAPACK's, in float64, and against what defines it. */
final class SvdGoldenTest {
    private static final Golden GOLDEN = Golden.open("svd");

    static List<String> cases() {
        return GOLDEN.cases();
    }

    private static Matrix matrix(String name) {
        int[] dims = GOLDEN.stored(name + "/A").shape().dims();
        return Matrix.of(dims[0], dims[1], GOLDEN.stored(name + "/A").toDoubles());
    }

    @Test
    void noCaseIsMissing() {
        assertThat(cases())
                .containsExactlyInAnyOrder(
                        "rand5x5",
                        "tall12x5",
                        "wide4x11",
                        "hilbert6",
                        "identity4",
                        "diag_1e-6",
                        "conv_36x27",
                        "linear_60x60",
                        "rank_deficient",
                        "repeated",
                        "vector1x7",
                        "scalar");
    }

    @ParameterizedTest
    @MethodSource("cases")
    void singularValuesAndConditionAreTheReferences(String name) {
        Svd svd = Svd.of(matrix(name));
        double[] reference = GOLDEN.stored(name + "/s64").toDoubles();
        assertThat(svd.singularValues()).hasSize(reference.length);
        for (int i = 0; i < reference.length; i++) {
            assertThat(svd.singularValues()[i]).as("value %d", i).isCloseTo(reference[i], within(1e-12 * reference[0]));
        }
        double condition = GOLDEN.scalar(name + "/cond64");
        // The least value of the rank-deficient matrix is rounding noise in the reference.
        double tolerance = name.equals("rank_deficient") ? 1e-3 : 1e-10;
        assertThat(svd.condition()).isCloseTo(condition, within(tolerance * condition));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void theFactorsMakeTheMatrixAndHaveOrthonormalColumns(String name) {
        Matrix a = matrix(name);
        Svd svd = Svd.of(a);
        double largest = svd.singularValues()[0];
        assertClose(svd.with(svd.singularValues()), a, 1e-14 * a.rows() * largest);
        int r = Math.min(a.rows(), a.columns());
        assertClose(svd.v().transposed().times(svd.v()), Matrix.identity(r), 1e-13);
        assertClose(svd.u().transposed().times(svd.u()), Matrix.identity(r), 1e-13);
    }

    /** A decomposition that begins with the vectors of a similar matrix is the same one. */
    @Test
    void beginsWhereASimilarOneEnded() {
        SplittableRandom random = new SplittableRandom(5);
        Matrix a = Matrix.zeros(20, 9);
        Matrix b = Matrix.zeros(20, 9);
        for (int i = 0; i < 20; i++) {
            for (int j = 0; j < 9; j++) {
                a.set(i, j, random.nextDouble(-1, 1));
                b.set(i, j, a.get(i, j) + random.nextDouble(-1e-3, 1e-3));
            }
        }
        Svd cold = Svd.of(b);
        Svd warm = Svd.of(b, Svd.of(a).v());
        for (int i = 0; i < 9; i++) {
            assertThat(warm.singularValues()[i]).isCloseTo(cold.singularValues()[i], within(1e-13));
        }
        assertClose(warm.with(warm.singularValues()), b, 1e-13);
    }

    private static void assertClose(Matrix actual, Matrix expected, double tolerance) {
        assertThat(actual).hasToString(expected.toString());
        for (int i = 0; i < expected.rows(); i++) {
            for (int j = 0; j < expected.columns(); j++) {
                assertThat(actual.get(i, j))
                        .as("element %d, %d", i, j)
                        .isCloseTo(expected.get(i, j), within(tolerance));
            }
        }
    }
}
