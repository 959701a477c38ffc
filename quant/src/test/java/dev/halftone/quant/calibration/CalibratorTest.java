// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.calibration;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

final class CalibratorTest {
    private static final long SEED = 0x2545F4914F6CDD1DL;

    static Stream<Calibrator> all() {
        return Stream.of(
                new MinMax(),
                new Percentile(1),
                new MeanSquaredError(90),
                new KlDivergence(90),
                new DensityClip(),
                new Dobi(Dobi.Variant.PAPER),
                new Dobi(Dobi.Variant.RELEASED),
                new Dobi(Dobi.Variant.AUTO));
    }

    private static Samples gauss(int n) {
        SplittableRandom random = new SplittableRandom(SEED);
        Tensor x = Tensor.zeros(n);
        for (int i = 0; i < n; i++) {
            x.array()[i] = (float) random.nextGaussian();
        }
        return Samples.of("gauss", x);
    }

    private static Samples relu(int n) {
        SplittableRandom random = new SplittableRandom(SEED);
        Tensor x = Tensor.zeros(n);
        for (int i = 0; i < n; i++) {
            x.array()[i] = (float) Math.max(0, random.nextGaussian());
        }
        return Samples.of("relu", x);
    }

    @ParameterizedTest
    @MethodSource("all")
    void aConstantIsRepresentedExactly(Calibrator calibrator) {
        for (float c : new float[] {0, 1, -1, 1e-20f, -3e-39f, 1e30f, -254.7f, 1e-45f}) {
            Samples samples = Samples.of("constant", Tensor.zeros(100).fill(c));
            for (int bits = 1; bits <= 8; bits++) {
                for (Distribution d : List.of(samples, samples.histogram())) {
                    UniformGrid grid = calibrator.calibrate(d, bits, Tails.BOTH);
                    assertThat(grid.level(grid.code(c))).isEqualTo(c);
                    assertThat(grid.bits()).isEqualTo(bits);
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("all")
    void anEmptyTensorIsAnErrorThatNamesIt(Calibrator calibrator) {
        assertThatThrownBy(() -> calibrator.calibrate(new Histogram("body.0 input"), 2, Tails.BOTH))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("body.0 input");
        assertThatThrownBy(() -> calibrator.calibrate(Samples.of("w", Tensor.zeros(0)), 2, Tails.BOTH))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("w has no values");
    }

    @ParameterizedTest
    @MethodSource("all")
    void twoNeighbouringFloatsAreRepresentedExactly(Calibrator calibrator) {
        float a = 1000;
        float b = Math.nextUp(a);
        Samples samples = Samples.of("x", Tensor.of(new float[] {a, b, a}, 3));
        UniformGrid grid = calibrator.calibrate(samples, 2, Tails.BOTH);
        assertThat(samples.squaredError(grid)).isLessThanOrEqualTo(3 * Math.pow((double) b - a, 2));
    }

    @ParameterizedTest
    @MethodSource("all")
    void staysWithinTheRangeOfOneSidedData(Calibrator calibrator) {
        Samples samples = relu(20_000);
        for (int bits = 1; bits <= 8; bits++) {
            for (Distribution d : List.of(samples, samples.histogram())) {
                UniformGrid grid = calibrator.calibrate(d, bits, Tails.UPPER);
                assertThat(grid.lower()).isGreaterThanOrEqualTo(samples.min());
                assertThat(grid.upper()).isLessThanOrEqualTo(samples.max());
                if (!calibrator.equals(new Dobi(Dobi.Variant.RELEASED))) {
                    // A histogram knows a percentile to within a bin, the minimum exactly.
                    double known = calibrator instanceof Percentile
                            ? samples.histogram().binWidth()
                            : 0;
                    assertThat((double) grid.lower())
                            .as("one-sided data keeps its minimum")
                            .isLessThanOrEqualTo(known);
                }
            }
        }
    }

    @Test
    void minMaxIsTheRange() {
        UniformGrid grid = new MinMax().calibrate(gauss(1000), 3, Tails.BOTH);
        assertThat(grid)
                .isEqualTo(new UniformGrid(3, gauss(1000).min(), gauss(1000).max()));
    }

    @Test
    void percentilesClipTheirShare() {
        Samples samples = gauss(100_000);
        UniformGrid grid = new Percentile(1).calibrate(samples, 4, Tails.BOTH);
        assertThat(grid.lower()).isCloseTo(-2.326f, within(0.03f));
        assertThat(grid.upper()).isCloseTo(2.326f, within(0.03f));
        assertThat(new Percentile(0).calibrate(samples, 4, Tails.BOTH))
                .isEqualTo(new MinMax().calibrate(samples, 4, Tails.BOTH));
        assertThatThrownBy(() -> new Percentile(50)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void percentilesOfMostlyZerosFallBackToTheRange() {
        Tensor x = Tensor.zeros(1000);
        x.set(3, 17);
        assertThat(new Percentile(1).calibrate(Samples.of("x", x), 2, Tails.UPPER))
                .isEqualTo(new UniformGrid(2, 0, 3));
    }

    /** Optimal clipping of a standard Gaussian for uniform quantizers (Max 1960): +-1.493 at 2 bits (midpoint levels). */
    @Test
    void leastSquaresFindsTheOptimalGaussianRange() {
        Samples samples = gauss(100_000);
        for (Calibrator calibrator : List.of(new MeanSquaredError(90), new Dobi(Dobi.Variant.AUTO))) {
            UniformGrid grid = calibrator.calibrate(samples, 2, Tails.BOTH);
            // DOBI moves both bounds towards the middle of the range, which the extremes of the sample shift a little.
            assertThat((grid.upper() - grid.lower()) / 2).as(calibrator.id()).isCloseTo(1.493f, within(0.06f));
            assertThat(samples.squaredError(grid) / samples.count()).isCloseTo(0.1188, within(0.004));
        }
    }

    @Test
    void searchesNeverLoseToTheWholeRange() {
        for (Samples samples : List.of(gauss(5000), relu(5000))) {
            for (int bits = 1; bits <= 8; bits++) {
                double whole = samples.squaredError(new MinMax().calibrate(samples, bits, Tails.BOTH));
                for (Calibrator calibrator : List.of(
                        new MeanSquaredError(90), new Dobi(Dobi.Variant.RELEASED), new Dobi(Dobi.Variant.AUTO))) {
                    double best = samples.squaredError(calibrator.calibrate(samples, bits, Tails.BOTH));
                    assertThat(best).as("%s %d bits", calibrator.id(), bits).isLessThanOrEqualTo(whole);
                    double byHistogram =
                            samples.squaredError(calibrator.calibrate(samples.histogram(), bits, Tails.BOTH));
                    assertThat(byHistogram)
                            .as("%s %d bits", calibrator.id(), bits)
                            .isLessThanOrEqualTo(best * 1.02);
                }
            }
        }
    }

    @Test
    void dobiVariantsDifferInWhenTheyAreOneSided() {
        Samples relu = relu(10_000);
        UniformGrid both = new Dobi(Dobi.Variant.RELEASED).calibrate(relu, 2, Tails.UPPER);
        UniformGrid one = new Dobi(Dobi.Variant.AUTO).calibrate(relu, 2, Tails.BOTH);
        assertThat(both.lower()).isPositive();
        assertThat(one.lower()).isZero();
        assertThat(new Dobi(Dobi.Variant.PAPER).calibrate(relu, 2, Tails.UPPER)).isEqualTo(one);
        assertThat(new Dobi(Dobi.Variant.PAPER).calibrate(relu, 2, Tails.BOTH)).isEqualTo(both);
        assertThat(relu.squaredError(one)).isLessThan(relu.squaredError(both));
    }

    @Test
    void dobiMirrorsForALowerTail() {
        Samples relu = relu(10_000);
        float[] negated = new float[10_000];
        UniformGrid up = new Dobi(Dobi.Variant.AUTO).calibrate(relu, 3, Tails.BOTH);
        SplittableRandom random = new SplittableRandom(SEED);
        for (int i = 0; i < negated.length; i++) {
            negated[i] = (float) -Math.max(0, random.nextGaussian());
        }
        UniformGrid down = new Dobi(Dobi.Variant.AUTO)
                .calibrate(Samples.of("x", Tensor.of(negated, negated.length)), 3, Tails.BOTH);
        assertThat(down.upper()).isZero();
        assertThat(down.lower()).isEqualTo(-up.upper());
        assertThat(Tails.of(-1, 20)).isEqualTo(Tails.UPPER);
        assertThat(Tails.of(-20, 1)).isEqualTo(Tails.LOWER);
        assertThat(Tails.of(-2, 1)).isEqualTo(Tails.BOTH);
    }

    @Test
    void entropyKeepsUniformDataAndClipsOutliers() {
        SplittableRandom random = new SplittableRandom(SEED);
        Tensor x = Tensor.zeros(200_000);
        for (int i = 0; i < x.size(); i++) {
            x.array()[i] = (float) random.nextDouble(-1, 1);
        }
        UniformGrid uniform = new KlDivergence(90).calibrate(Samples.of("x", x), 8, Tails.BOTH);
        assertThat(uniform.upper()).isGreaterThan(0.95f);
        x.set(40, 0);
        x.set(-30, 1);
        UniformGrid clipped = new KlDivergence(90).calibrate(Samples.of("x", x), 8, Tails.BOTH);
        assertThat(clipped.upper()).isBetween(0.9f, 10f);
        assertThat(clipped.lower()).isBetween(-8f, -0.9f);
    }

    @Test
    void entropyIsTheSameHoweverManyZerosAReluAnswers() {
        SplittableRandom random = new SplittableRandom(SEED);
        Tensor few = Tensor.zeros(20_000);
        for (int i = 0; i < few.size(); i++) {
            few.array()[i] = (float) Math.max(0, random.nextGaussian());
        }
        Tensor many = Tensor.zeros(200_000);
        System.arraycopy(few.array(), 0, many.array(), 0, few.size());
        for (int bits = 1; bits <= 8; bits++) {
            UniformGrid expected = new KlDivergence(100).calibrate(Samples.of("few", few), bits, Tails.UPPER);
            assertThat(new KlDivergence(100).calibrate(Samples.of("many", many), bits, Tails.UPPER))
                    .as(bits + " bits")
                    .isEqualTo(expected);
        }
    }

    /** {@code P = (1, 1, 2, 4) / 8} with the last value clipped; two codes of two bins each. */
    @Test
    void entropyOfAHandMadeHistogram() {
        Histogram h = new Histogram("x");
        h.add(Tensor.of(new float[] {0, 0.25f, 0.75f, 0.75f, 1, 1, 1, 2}, 8));
        // Codes of 0, 0.25 | 0.75, 1 on the 1-bit grid from 0 to 1; Q without the clipped 2: (1, 1, 2.5, 2.5) / 7.
        double expected = 2 * (1 / 8.0) * Math.log((1 / 8.0) / (1 / 7.0))
                + (2 / 8.0) * Math.log((2 / 8.0) / (2.5 / 7))
                + (4 / 8.0) * Math.log((4 / 8.0) / (2.5 / 7));
        assertThat(KlDivergence.divergence(h, new UniformGrid(1, 0, 1))).isCloseTo(expected, within(1e-12));
    }

    @Test
    void shrinkingGoesTowardsZeroOrTheNearerBound() {
        assertThat(Sweep.shrunk(-2, 4, 0)).containsExactly(-2, 4);
        assertThat(Sweep.shrunk(-2, 4, 50)).containsExactly(-1, 2);
        assertThat(Sweep.shrunk(1, 3, 50)).containsExactly(1, 2);
        assertThat(Sweep.shrunk(-3, -1, 50)).containsExactly(-2, -1);
    }

    /** The bound on the sparse side moves until the share is gone, the one on the dense side stays. */
    @Test
    void densityClippingTakesFromTheSparseSide() {
        SplittableRandom random = new SplittableRandom(SEED);
        Tensor x = Tensor.zeros(200_000);
        for (int i = 0; i < x.size(); i++) {
            // Dense at the lower end, an exponential tail at the upper one.
            x.array()[i] = (float) -Math.log(random.nextDouble(Double.MIN_NORMAL, 1));
        }
        Samples samples = Samples.of("exponential", x);
        for (int bits = 2; bits <= 8; bits++) {
            double share = DensityClip.clipped(bits);
            UniformGrid grid = new DensityClip().calibrate(samples, bits, Tails.BOTH);
            assertThat(grid.lower()).as("seed %d", SEED).isEqualTo(samples.min());
            long above = 0;
            for (float v : x.toArray()) {
                above += v > grid.upper() ? 1 : 0;
            }
            assertThat(above / 200_000.0).isBetween(share / 2, share);
        }
        assertThat(DensityClip.clipped(8)).isCloseTo(1e-5, within(1e-12));
        assertThat(DensityClip.clipped(4)).isEqualTo(DensityClip.clipped(2)).isCloseTo(5e-4, within(1e-12));
    }

    /** For normal values the table's steps are the best there are: a tenth more or less costs. */
    @Test
    void gaussianStepsAreTheBestForNormalValues() {
        Samples samples = gauss(200_000);
        for (int bits = 1; bits <= 5; bits++) {
            UniformGrid grid = new GaussianStep().calibrate(samples, bits, Tails.BOTH);
            assertThat(grid.lower()).isEqualTo(-grid.upper());
            assertThat((double) grid.scale()).isCloseTo(GaussianStep.step(bits), within(0.01));
            for (float factor : new float[] {0.9f, 1.1f}) {
                UniformGrid other = new UniformGrid(bits, factor * grid.lower(), factor * grid.upper());
                assertThat(samples.squaredError(grid))
                        .as("seed %d, %d bits, %f", SEED, bits, factor)
                        .isLessThan(samples.squaredError(other));
            }
        }
    }
}
