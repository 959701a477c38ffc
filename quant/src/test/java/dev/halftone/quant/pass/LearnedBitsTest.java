// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The properties of DiffQ's noise and of widths that are learned with it; 2 to 15 bits are the published range. */
final class LearnedBitsTest {
    private static final long SEED = 61;

    private final SplittableRandom random = new SplittableRandom(SEED);

    /** Noise leaves the mean of a value and has the variance of rounding, a twelfth of a squared step. */
    @ParameterizedTest
    @ValueSource(doubles = {1, 2, 2.5, 4, 8, 15})
    void noiseHasTheMeanAndTheVarianceOfRounding(double bits) {
        float[] noise = new float[400_001];
        LearnedBits.draw(noise, random);
        double span = 3;
        double step = span * LearnedBits.step(bits);
        double w = 0.7;
        double sum = 0;
        double squares = 0;
        for (float e : noise) {
            assertThat(Math.abs(e)).isLessThanOrEqualTo(0.5f);
            double noisy = w + step * e;
            sum += noisy;
            squares += (noisy - w) * (noisy - w);
        }
        // Five deviations of the estimates: of a mean s / sqrt(12 n), of a variance s^2 / 12 sqrt(0.8 / n).
        double n = noise.length;
        assertThat(sum / n).as("seed %d", SEED).isCloseTo(w, within(5 * step / Math.sqrt(12 * n)));
        assertThat(squares / n).isCloseTo(step * step / 12, within(5 * step * step / 12 * Math.sqrt(0.8 / n)));
    }

    @Test
    void fifteenBitsAreAlmostTheValueItself() {
        assertThat(LearnedBits.step(15) / 2).isLessThan(2e-5);
        assertThat(LearnedBits.step(2)).isEqualTo(1 / 3.0);
    }

    @Test
    void slopesAreThoseOfFiniteDifferences() {
        for (int trial = 0; trial < 100; trial++) {
            double b = random.nextDouble(1, 15);
            double h = 1e-5;
            double expected = (LearnedBits.step(b + h) - LearnedBits.step(b - h)) / (2 * h) / LearnedBits.step(b);
            assertThat(LearnedBits.slope(b)).as("seed %d, bits %f", SEED, b).isCloseTo(expected, within(1e-6));
        }
    }

    /** Returns the widths after training against {@code sum of c_n times the squared noise}, of values between bounds 1 apart. */
    private double[] trained(double[] c, double penalty, int steps) {
        LearnedBits bits = new LearnedBits(c.length, 2, 15, 8);
        float[] noise = new float[200];
        for (int step = 0; step < steps; step++) {
            double[] gradients = new double[c.length];
            double[] penalties = new double[c.length];
            for (int i = 0; i < c.length; i++) {
                LearnedBits.draw(noise, random);
                double size = LearnedBits.step(bits.bits(i));
                for (float e : noise) {
                    gradients[i] += 2 * c[i] * size * e * size * e * LearnedBits.slope(bits.bits(i)) / noise.length;
                }
                penalties[i] = penalty;
            }
            bits.learn(gradients, penalties, 0.2 * (1 - (double) step / steps));
        }
        double[] learned = new double[c.length];
        for (int i = 0; i < c.length; i++) {
            learned[i] = bits.bits(i);
        }
        return learned;
    }

    @Test
    void beginsWithTheFirstWidth() {
        assertThat(trained(new double[] {1}, 0, 0)[0]).isCloseTo(8, within(1e-5));
    }

    @Test
    void withoutAPenaltyBitsRiseAndALargeOneLeavesTheLeast() {
        for (double b : trained(new double[] {1, 100}, 0, 200)) {
            assertThat(b).as("seed %d", SEED).isGreaterThan(13);
        }
        for (double b : trained(new double[] {1, 100}, 1e6, 200)) {
            assertThat(b).as("seed %d", SEED).isBetween(2.0, 2.1);
        }
    }

    /** Four times the damage is worth a bit more; a smaller penalty, as often a bit more for all. */
    @Test
    void bitsGoWhereTheyAreWorthMost() {
        double[] learned = trained(new double[] {1, 4, 16, 64}, 1e-4, 800);
        for (int i = 1; i < 4; i++) {
            assertThat(learned[i] - learned[i - 1])
                    .as("seed %d, operand %d", SEED, i)
                    .isCloseTo(1, within(0.1));
        }
        double[] cheaper = trained(new double[] {1, 4, 16, 64}, 1e-4 / 4, 800);
        for (int i = 0; i < 4; i++) {
            assertThat(cheaper[i] - learned[i]).isCloseTo(1, within(0.1));
        }
    }
}
