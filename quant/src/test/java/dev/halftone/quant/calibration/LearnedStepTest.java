// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.calibration;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.quant.calibration.LearnedStep.Start;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class LearnedStepTest {
    private static final long SEED = 61;

    private final SplittableRandom random = new SplittableRandom(SEED);

    /** The first steps of LSQ and LSQ+, and levels that are multiples of them. */
    @ParameterizedTest
    @ValueSource(ints = {2, 3, 4, 8})
    void stepsAreThoseOfThePapers(int bits) {
        for (int trial = 0; trial < 20; trial++) {
            boolean signed = trial % 2 == 0;
            Tensor t = Tensor.zeros(5000);
            double magnitude = 0;
            double sum = 0;
            double squares = 0;
            for (int i = 0; i < t.size(); i++) {
                double v = random.nextGaussian() + (trial % 3) * 0.2;
                t.array()[i] = (float) (signed ? v : Math.abs(v));
                magnitude += Math.abs(t.array()[i]) / t.size();
                sum += t.array()[i] / (double) t.size();
                squares += t.array()[i] * (double) t.array()[i] / t.size();
            }
            int last = signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
            Samples samples = Samples.of("t", t);
            UniformGrid lsq = new LearnedStep(Start.MEAN_MAGNITUDE).calibrate(samples, bits, Tails.BOTH);
            double step = 2 * magnitude / Math.sqrt(last);
            assertThat(lsq.scale()).as("seed %d", SEED).isCloseTo((float) step, within((float) (5e-3 * step)));
            assertThat(lsq.upper()).isCloseTo(lsq.scale() * last, within(1e-5f));
            assertThat(lsq.lower()).isCloseTo(signed ? -lsq.scale() * (last + 1) : 0, within(1e-5f));
            UniformGrid plus = new LearnedStep(Start.THREE_DEVIATIONS).calibrate(samples, bits, Tails.BOTH);
            double other = (Math.abs(sum) + 3 * Math.sqrt(squares - sum * sum)) / (1 << bits);
            assertThat(plus.scale()).isCloseTo((float) other, within((float) (5e-3 * other)));
        }
    }

    /** One bit, and values that are all alike. */
    @ParameterizedTest
    @ValueSource(floats = {0, 1, -2})
    void thereIsAlwaysAGrid(float value) {
        for (Start start : Start.values()) {
            for (int bits = 1; bits <= 8; bits++) {
                UniformGrid grid = new LearnedStep(start)
                        .calibrate(Samples.of("t", Tensor.zeros(7).fill(value)), bits, Tails.BOTH);
                assertThat(grid.bits()).isEqualTo(bits);
                assertThat(grid.scale()).isPositive();
            }
        }
    }
}
