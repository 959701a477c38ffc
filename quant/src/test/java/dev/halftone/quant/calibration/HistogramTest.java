// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.calibration;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

final class HistogramTest {
    private static final long SEED = 0x51ED270B9F8A7A11L;

    /** Shapes of distributions that networks have. */
    enum Kind {
        GAUSS(g -> g),
        SHIFTED(g -> 3 + 0.5 * g),
        HEAVY(g -> g * g * g),
        RELU(g -> Math.max(g, 0)),
        FAR(g -> 1000 + g),
        TINY(g -> 1e-30 * g);

        final DoubleUnaryOperator shape;

        Kind(DoubleUnaryOperator shape) {
            this.shape = shape;
        }

        Tensor draw(SplittableRandom random, int n) {
            Tensor x = Tensor.zeros(n);
            for (int i = 0; i < n; i++) {
                x.array()[i] = (float) shape.applyAsDouble(random.nextGaussian());
            }
            return x;
        }
    }

    @ParameterizedTest
    @EnumSource
    void countsDoNotDependOnTheOrder(Kind kind) {
        SplittableRandom random = new SplittableRandom(SEED);
        Tensor x = kind.draw(random, 20_000);
        Histogram once = new Histogram("x", 256);
        once.add(x);
        Histogram pieces = new Histogram("x", 256);
        Histogram ascending = new Histogram("x", 256);
        for (int from = 0; from < x.size(); ) {
            int n = Math.min(x.size() - from, random.nextInt(1, 400));
            pieces.add(Tensor.of(Arrays.copyOfRange(x.array(), from, from + n), n));
            from += n;
        }
        float[] sorted = x.toArray();
        Arrays.sort(sorted);
        for (float v : sorted) {
            ascending.add(Tensor.scalar(v));
        }
        for (Histogram other : new Histogram[] {pieces, ascending}) {
            assertThat(other.count()).isEqualTo(x.size());
            assertThat(other.min()).isEqualTo(sorted[0]);
            assertThat(other.max()).isEqualTo(sorted[sorted.length - 1]);
            assertThat(other.binWidth()).isEqualTo(once.binWidth());
            assertThat(occupied(other)).as("seed %x", SEED).isEqualTo(occupied(once));
        }
        assertThat(once.binWidth() * 256).isGreaterThanOrEqualTo((double) once.max() - once.min());
        assertThat(once.binWidth() * 127).isLessThan((double) once.max() - once.min());
    }

    private static long[] occupied(Histogram h) {
        long[] counts = new long[h.bins()];
        int n = 0;
        for (int i = 0; i < h.bins(); i++) {
            if (h.count(i) != 0) {
                counts[n++] = h.count(i);
            }
        }
        return Arrays.copyOf(counts, n);
    }

    @ParameterizedTest
    @EnumSource
    void coarseningEqualsBinningCoarsely(Kind kind) {
        Tensor x = kind.draw(new SplittableRandom(SEED), 5_000);
        Histogram fine = new Histogram("x");
        fine.add(x);
        Histogram coarse = new Histogram("x", 100);
        coarse.add(x);
        assertThat(occupied(fine.coarsened(100))).isEqualTo(occupied(coarse));
        assertThat(fine.coarsened(100).binWidth()).isEqualTo(coarse.binWidth());
        assertThat(fine.coarsened(100).count()).isEqualTo(5_000);
    }

    @ParameterizedTest
    @EnumSource
    void squaredErrorKeepsItsBound(Kind kind) {
        SplittableRandom random = new SplittableRandom(SEED);
        Samples samples = Samples.of("x", kind.draw(random, 50_000));
        Histogram histogram = samples.histogram();
        for (int trial = 0; trial < 40; trial++) {
            int bits = 1 + trial % 8;
            float width = samples.max() - samples.min();
            float lower = samples.min() + (float) random.nextDouble(0, 0.4) * width;
            UniformGrid grid = new UniformGrid(bits, lower, samples.max() - (float) random.nextDouble(0, 0.4) * width);
            double exact = samples.squaredError(grid);
            double excess = histogram.squaredError(grid) - exact;
            // Float32 rounds the codes' levels and boundaries: FAR values have a spacing that is not small against a
            // step.
            double rounding = 1e-6 * exact + 50_000.0 * grid.scale() * Math.ulp(samples.max());
            assertThat(excess).as("seed %x, trial %d, %s", SEED, trial, grid).isGreaterThanOrEqualTo(-rounding);
            assertThat(excess)
                    .as("seed %x, trial %d, %s", SEED, trial, grid)
                    .isLessThanOrEqualTo(
                            2 * grid.scale() * histogram.binWidth() * straddling(histogram, grid) + rounding);
            if (kind != Kind.FAR) {
                assertThat(excess).isLessThanOrEqualTo((bits <= 4 ? 1e-4 : 2e-2) * exact);
            }
        }
    }

    /** The number of values in bins that hold values of more than one code. */
    private static long straddling(Histogram h, UniformGrid grid) {
        long n = 0;
        for (int i = 0; i < h.bins(); i++) {
            float mean = h.mean(i);
            if (h.count(i) > 0) {
                float low = (float) (mean - h.binWidth());
                float high = (float) (mean + h.binWidth());
                n += grid.code(low) == grid.code(high) ? 0 : h.count(i);
            }
        }
        return n;
    }

    @ParameterizedTest
    @ValueSource(doubles = {0, 0.001, 0.01, 0.3, 0.5, 0.99, 1})
    void quantilesAreWithinABin(double p) {
        for (Kind kind : Kind.values()) {
            Samples samples = Samples.of("x", kind.draw(new SplittableRandom(SEED), 9_999));
            Histogram histogram = samples.histogram();
            assertThat((double) histogram.quantile(p))
                    .as("%s, seed %x", kind, SEED)
                    .isCloseTo(samples.quantile(p), within(1.5 * histogram.binWidth() + gap(samples, p)));
        }
    }

    /** The distance of the two order statistics between which the quantile lies: the histogram does not know them. */
    private static double gap(Samples samples, double p) {
        double step = 1.0 / (samples.count() - 1);
        return samples.quantile(Math.min(1, p + step)) - samples.quantile(Math.max(0, p - step));
    }

    @Test
    void sampleQuantilesInterpolateBetweenOrderStatistics() {
        Samples samples = Samples.of("x", Tensor.of(new float[] {40, 10, 30, 20}, 4));
        assertThat(samples.quantile(0)).isEqualTo(10);
        assertThat(samples.quantile(0.5)).isEqualTo(25);
        assertThat(samples.quantile(0.9)).isEqualTo(37);
        assertThat(samples.quantile(1)).isEqualTo(40);
    }

    @Test
    void growsFromZeroToTheLargestFloats() {
        Histogram h = new Histogram("x");
        h.add(Tensor.zeros(10));
        assertThat(h.squaredError(new UniformGrid(2, 0, 1))).isZero();
        h.add(Tensor.of(new float[] {1e-40f, -1e-40f}, 2));
        h.add(Tensor.of(new float[] {1f}, 1));
        h.add(Tensor.of(new float[] {-Float.MAX_VALUE, Float.MAX_VALUE}, 2));
        assertThat(h.count()).isEqualTo(15);
        assertThat(h.min()).isEqualTo(-Float.MAX_VALUE);
        long sum = 0;
        for (int i = 0; i < h.bins(); i++) {
            sum += h.count(i);
        }
        assertThat(sum).isEqualTo(15);
    }

    @Test
    void namesTheTensorInErrors() {
        Histogram h = new Histogram("body.0 input");
        assertThatThrownBy(() -> h.add(Tensor.of(new float[] {1, Float.NaN}, 2)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("body.0 input has a value that is not finite (NaN)");
        assertThat(h.count()).isZero();
        h.add(Tensor.zeros(0, 3));
        assertThatThrownBy(h::min)
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("body.0 input has no values");
        Tensor weight = Tensor.zeros(2, 3);
        weight.set(Float.POSITIVE_INFINITY, 1, 2);
        assertThatThrownBy(() -> Samples.ofChannel("weight", weight, 2)).hasMessageContaining("weight channel 2");
        assertThat(Samples.ofChannel("weight", weight, 1).count()).isEqualTo(2);
        assertThatThrownBy(() -> new Histogram("x", 1)).isInstanceOf(IllegalArgumentException.class);
    }
}
