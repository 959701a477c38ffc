// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.format;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.tensor.PackedCodes;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class UniformQuantizerTest {
    private static final long SEED = 0x9E3779B97F4A7C15L;

    private static UniformQuantizer random(SplittableRandom random, int bits, int grids) {
        List<UniformGrid> list = new ArrayList<>();
        for (int i = 0; i < grids; i++) {
            float lower = (float) random.nextDouble(-3, 1);
            list.add(new UniformGrid(
                    bits, lower, lower + (float) Math.scalb(random.nextDouble(1, 2), random.nextInt(-6, 7))));
        }
        return new UniformQuantizer(list);
    }

    private static Tensor around(SplittableRandom random, UniformQuantizer q, int rows, int channels) {
        Tensor x = Tensor.zeros(rows, channels);
        for (int i = 0; i < x.size(); i++) {
            UniformGrid grid = q.grid(i % channels);
            double width = (double) grid.upper() - grid.lower();
            x.array()[i] = (float) random.nextDouble(grid.lower() - 0.25 * width, grid.upper() + 0.25 * width);
        }
        return x;
    }

    @ParameterizedTest(name = "{0} bits, {1} grids")
    @CsvSource({
        "1,1", "1,7", "2,1", "2,7", "3,1", "3,7", "4,1", "4,7", "5,1", "5,7", "6,1", "6,7", "7,1", "7,7", "8,1", "8,7"
    })
    void roundsToTheNearestOfAtMostTwoToTheBitsLevels(int bits, int grids) {
        SplittableRandom random = new SplittableRandom(SEED);
        for (int trial = 0; trial < 20; trial++) {
            UniformQuantizer q = random(random, bits, grids);
            Tensor x = around(random, q, 300, 7);
            Tensor y = q.fake(x);
            List<Set<Float>> levels = new ArrayList<>();
            for (int c = 0; c < 7; c++) {
                levels.add(new HashSet<>());
            }
            for (int i = 0; i < x.size(); i++) {
                UniformGrid grid = q.grid(i % 7);
                float v = x.array()[i];
                float inside = Math.clamp(v, grid.lower(), grid.upper());
                // Half a step, and the rounding of the level itself and of the step's last bit times the code.
                double ulps = 2 * Math.ulp(Math.max(Math.abs(grid.lower()), Math.abs(grid.upper())))
                        + grid.maxCode() * Math.ulp(grid.scale());
                assertThat((double) Math.abs(inside - y.array()[i]))
                        .as("seed %x, trial %d: %s of %s", SEED, trial, v, grid)
                        .isLessThanOrEqualTo(0.5 * grid.scale() + ulps);
                levels.get(i % 7).add(y.array()[i]);
            }
            for (Set<Float> of : levels) {
                assertThat(of).hasSizeLessThanOrEqualTo(1 << bits);
            }
            assertThat(q.fake(y).toArray())
                    .as("seed %x, trial %d: idempotent", SEED, trial)
                    .isEqualTo(y.toArray());
            PackedCodes codes = q.codes(x);
            assertThat(q.dequantize(codes, x.shape()).toArray()).isEqualTo(y.toArray());
        }
    }

    @Test
    void clipsToTheBounds() {
        UniformQuantizer q =
                UniformQuantizer.of(2, Tensor.of(new float[] {-1, 0}, 2), Tensor.of(new float[] {2, 3}, 2));
        Tensor x = Tensor.of(new float[] {-9, -9, Float.NEGATIVE_INFINITY, 9, 9, Float.POSITIVE_INFINITY}, 3, 2);
        assertThat(q.fake(x).toArray()).containsExactly(-1, 0, -1, 3, 2, 3);
        assertThat(q.codes(x).unpack()).containsExactly(0, 0, 0, 3, 3, 3);
        assertThat(q.lower().toArray()).containsExactly(-1, 0);
        assertThat(q.upper().toArray()).containsExactly(2, 3);
        assertThat(q.bits()).isEqualTo(2);
    }

    @Test
    void refusesWhatDoesNotFit() {
        UniformQuantizer q =
                UniformQuantizer.of(2, Tensor.zeros(3), Tensor.zeros(3).fill(1));
        assertThatThrownBy(() -> q.fake(Tensor.zeros(3, 4)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("[3, 4]");
        assertThatThrownBy(() -> q.codes(Tensor.zeros(3, 4)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("[3, 4]");
        assertThatThrownBy(() -> q.dequantize(
                        q.codes(Tensor.zeros(2, 3)), Tensor.zeros(3, 3).shape()))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> UniformQuantizer.of(2, Tensor.zeros(3), Tensor.zeros(2)))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new UniformQuantizer(List.of())).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new UniformQuantizer(List.of(new UniformGrid(2, 0, 1), new UniformGrid(3, 0, 1))))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("2 and of 3 bits");
    }
}
