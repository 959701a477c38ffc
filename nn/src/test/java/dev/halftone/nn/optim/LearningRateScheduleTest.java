// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.optim;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.testing.Golden;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class LearningRateScheduleTest {
    private static final Golden GOLDEN = Golden.open("lr_schedules");

    static List<String> cases() {
        return GOLDEN.cases();
    }

    private static LearningRateSchedule schedule(String name) {
        double base = GOLDEN.number(name, "base_lr");
        return switch (GOLDEN.text(name, "kind")) {
            case "CosineAnnealingLR" ->
                new CosineSchedule(base, GOLDEN.integer(name, "T_max"), 0, GOLDEN.number(name, "eta_min"));
            case "CosineAnnealingRestartLR" ->
                new CosineRestartSchedule(
                        base,
                        GOLDEN.number(name, "eta_min"),
                        longs(GOLDEN.integers(name, "periods")),
                        Arrays.stream(GOLDEN.numbers(name, "restart_weights"))
                                .boxed()
                                .toList());
            case "MultiStepLR", "MultiStepRestartLR" ->
                new MultiStepSchedule(base, GOLDEN.number(name, "gamma"), longs(GOLDEN.integers(name, "milestones")));
            default -> throw new AssertionError("unknown schedule in " + name);
        };
    }

    private static List<Long> longs(int[] values) {
        return Arrays.stream(values).asLongStream().boxed().toList();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void equalsTheReference(String name) {
        LearningRateSchedule schedule = schedule(name);
        double[] expected = GOLDEN.stored(name).toDoubles();
        assertThat(expected).hasSizeGreaterThan(10);
        for (int step = 0; step < expected.length; step++) {
            assertThat(schedule.at(step)).as("step %d", step).isCloseTo(expected[step], within(1e-12));
        }
    }

    @Test
    void theReferenceFileHasEverySchedule() {
        assertThat(GOLDEN.cases()).hasSize(5);
    }

    @Test
    void warmUpRisesToTheBaseAndTheCosineTakesTheRemainingSteps() {
        LearningRateSchedule schedule = new CosineSchedule(0.4, 104, 4);
        assertThat(schedule.at(0)).isEqualTo(0.1);
        assertThat(schedule.at(3)).isEqualTo(0.4);
        assertThat(schedule.at(4)).isEqualTo(0.4);
        assertThat(schedule.at(54)).isCloseTo(0.2, within(1e-15));
        assertThat(schedule.at(104)).isZero();
        assertThat(schedule.at(1_000)).isZero();
    }

    @Test
    void schedulesStayAtTheFloorAfterTheEnd() {
        assertThat(new CosineSchedule(0.01, 20, 0, 0.001).at(33)).isEqualTo(0.001);
        assertThat(new CosineRestartSchedule(0.01, 0.001, List.of(3L, 2L), List.of(1.0, 0.5)).at(6))
                .isEqualTo(0.001);
    }

    @Test
    void refusesWhatIsNoSchedule() {
        assertThatThrownBy(() -> new CosineSchedule(0.01, 20, 0, 0.02)).hasMessageContaining("0.02");
        assertThatThrownBy(() -> new CosineSchedule(0.01, 20, 20)).hasMessageContaining("20 warm-up steps of 20");
        assertThatThrownBy(() -> new CosineRestartSchedule(0.01, 0, List.of(3L, 2L), List.of(1.0)))
                .hasMessageContaining("[3, 2]");
        assertThatThrownBy(() -> new CosineRestartSchedule(0.01, 0, List.of(0L), List.of(1.0)))
                .hasMessageContaining("[0]");
    }
}
