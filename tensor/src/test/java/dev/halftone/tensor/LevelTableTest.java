// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

final class LevelTableTest {
    private static final long SEED = 5;

    @Test
    void aValueHasTheCodeOfANearestLevel() {
        SplittableRandom random = new SplittableRandom(SEED);
        for (int trial = 0; trial < 200; trial++) {
            int bits = 1 + random.nextInt(8);
            int size = 2 + random.nextInt((1 << bits) - 1);
            float[] levels = new float[size];
            float at = (float) random.nextGaussian();
            for (int i = 0; i < size; i++) {
                levels[i] = at;
                at += (float) Math.scalb(1 + random.nextDouble(), random.nextInt(-8, 3));
            }
            LevelTable table = LevelTable.of(bits, levels);
            assertThat(table.toArray()).isEqualTo(levels);
            int before = 0;
            for (int i = -10; i <= 1010; i++) {
                float v = levels[0] + (levels[size - 1] - levels[0]) * i / 1000;
                int code = table.code(v);
                double distance = Math.abs((double) v - table.level(code));
                for (float level : levels) {
                    assertThat(distance)
                            .as("seed %d, %s, value %s", SEED, table, v)
                            .isLessThanOrEqualTo(Math.abs((double) v - level) + Math.ulp(v));
                }
                assertThat(code).isGreaterThanOrEqualTo(before);
                before = code;
            }
            for (int i = 0; i < size; i++) {
                assertThat(table.code(levels[i])).isEqualTo(i);
            }
        }
    }

    @Test
    void everyFloatHasACode() {
        LevelTable table = LevelTable.of(2, -1, 0.5f, Math.nextUp(0.5f));
        assertThat(table.code(Float.NaN)).isZero();
        assertThat(table.code(Float.NEGATIVE_INFINITY)).isZero();
        assertThat(table.code(Float.POSITIVE_INFINITY)).isEqualTo(2);
        assertThat(table.code(0.5f)).isEqualTo(1);
        assertThat(table.code(Math.nextUp(0.5f))).isEqualTo(2);
    }

    @Test
    void tablesThatAreNoneAreRefused() {
        assertThatThrownBy(() -> LevelTable.of(1, 0)).hasMessageContaining("1 levels for codes of 1 bits");
        assertThatThrownBy(() -> LevelTable.of(1, 0, 1, 2)).hasMessageContaining("3 levels for codes of 1 bits");
        assertThatThrownBy(() -> LevelTable.of(9, 0, 1)).hasMessageContaining("not 9");
        for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, 1, 0.5f}) {
            assertThatThrownBy(() -> LevelTable.of(2, 0, 1, bad))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("not finite numbers in ascending order");
        }
    }
}
