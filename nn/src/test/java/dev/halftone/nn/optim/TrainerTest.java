// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.optim;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;
import static org.assertj.core.api.Assertions.withinPercentage;

import dev.halftone.nn.Conv2d;
import dev.halftone.nn.Module;
import dev.halftone.nn.Parameter;
import dev.halftone.nn.ResidualBlock;
import dev.halftone.nn.StateDict;
import dev.halftone.nn.Value;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.InvalidFileException;
import dev.halftone.tensor.io.Safetensors;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TrainerTest {
    private static final int STEPS = 12;
    private static final Map<String, String> SETTINGS = Map.of("patch", "9", "seed", "4");

    @TempDir
    Path folder;

    private static Module network() {
        SplittableRandom random = new SplittableRandom(4);
        return new ResidualBlock(
                new Conv2d(3, 8, 3).initialize(random, 1), new Conv2d(8, 3, 3).initialize(random, 1), 1);
    }

    /** Noise, and the same noise at twice the contrast. */
    private static Trainer.Batch batch(long step) {
        SplittableRandom random = new SplittableRandom(step);
        Tensor input = Tensor.zeros(2, 9, 9, 3);
        Tensor target = Tensor.zeros(2, 9, 9, 3);
        for (int i = 0; i < input.size(); i++) {
            input.array()[i] = (float) random.nextDouble(-1, 1);
            target.array()[i] = 2 * input.array()[i];
        }
        return new Trainer.Batch(input, target);
    }

    private static Trainer trainer(Compute compute, Module network) {
        return new Trainer(
                compute,
                network,
                TrainerTest::batch,
                Value::l1Loss,
                new CosineSchedule(0.01, STEPS, 2),
                new Adam(network.parameters()),
                new Trainer.Options(0.5, 0.9));
    }

    private byte[] checkpoint(Trainer trainer, String name) throws IOException {
        Path file = folder.resolve(name);
        trainer.save(file, SETTINGS);
        return Files.readAllBytes(file);
    }

    @Test
    void aResumedRunEndsWithTheSameBytesOnAnyNumberOfThreads() throws IOException {
        try (Compute one = Compute.ofThreads(1);
                Compute three = Compute.ofThreads(3)) {
            Trainer whole = trainer(one, network());
            float first = whole.run().loss();
            while (whole.step() < 5) {
                whole.run();
            }
            checkpoint(whole, "middle.safetensors");
            float last = 0;
            while (whole.step() < STEPS) {
                last = whole.run().loss();
            }
            assertThat(last).as("the loss").isLessThan(0.9f * first);

            // It starts from other weights, all of which the checkpoint must replace.
            Module network = network();
            network.parameters().values().forEach(p -> p.value().fill(0.25f));
            Trainer resumed = trainer(three, network);
            resumed.resume(Safetensors.read(folder.resolve("middle.safetensors")), SETTINGS);
            assertThat(resumed.step()).isEqualTo(5);
            float resumedLast = 0;
            while (resumed.step() < STEPS) {
                resumedLast = resumed.run().loss();
            }
            assertThat(resumedLast).isEqualTo(last);
            assertThat(checkpoint(resumed, "resumed.safetensors")).isEqualTo(checkpoint(whole, "whole.safetensors"));
        }
    }

    @Test
    void refusesTheCheckpointOfARunWithOtherSettings() throws IOException {
        Trainer trainer = trainer(Compute.shared(), network());
        checkpoint(trainer, "a.safetensors");
        assertThatThrownBy(() -> trainer.resume(Safetensors.read(folder.resolve("a.safetensors")), Map.of("seed", "5")))
                .isInstanceOf(InvalidFileException.class)
                .hasMessageContaining("a.safetensors is a checkpoint of a run with seed 4, not 5");
    }

    @Test
    void refusesWeightsThatAreNoCheckpoint() throws IOException {
        Trainer trainer = trainer(Compute.shared(), network());
        Path file = folder.resolve("weights.safetensors");
        Safetensors.write(file, Map.of(), StateDict.save(network()));
        assertThatThrownBy(() -> trainer.resume(Safetensors.read(file), Map.of()))
                .isInstanceOf(InvalidFileException.class)
                .hasMessageContaining("no step number");
        Safetensors.write(file, Map.of("step", "3"), StateDict.save(network()));
        assertThatThrownBy(() -> trainer.resume(Safetensors.read(file), Map.of()))
                .isInstanceOf(InvalidFileException.class)
                .hasMessageContaining("body.0.weight is missing");
    }

    @Test
    void refusesACheckpointWhoseOptimizerStateIsIncomplete() throws IOException {
        Trainer trainer = trainer(Compute.shared(), network());
        checkpoint(trainer, "a.safetensors");
        Path file = folder.resolve("a.safetensors");
        var whole = Safetensors.read(file);
        Safetensors.write(
                file,
                whole.metadata(),
                whole.tensors().values().stream()
                        .filter(t -> !t.name().equals("optimizer.body.2.bias.exp_avg"))
                        .toList());
        assertThatThrownBy(() -> trainer.resume(Safetensors.read(file), Map.of()))
                .isInstanceOf(InvalidFileException.class)
                .hasMessageContaining("a.safetensors")
                .hasMessageContaining("body.2.bias.exp_avg is missing");
    }

    @Test
    void aLossThatIsNotFiniteStopsBeforeTheWeightsChange() {
        Module network = network();
        Trainer trainer = new Trainer(
                Compute.shared(),
                network,
                step -> new Trainer.Batch(
                        Tensor.zeros(1, 3, 3, 3).fill(step == 0 ? 1 : Float.NaN), Tensor.zeros(1, 3, 3, 3)),
                Value::l1Loss,
                step -> 0.01,
                new Adam(network.parameters()));
        trainer.run();
        List<float[]> before = network.parameters().values().stream()
                .map(p -> p.value().toArray())
                .toList();
        assertThatThrownBy(trainer::run)
                .isInstanceOf(ArithmeticException.class)
                .hasMessageContaining("NaN at step 1, from body.0.weight on");
        assertThat(trainer.step()).isEqualTo(1);
        List<float[]> after = network.parameters().values().stream()
                .map(p -> p.value().toArray())
                .toList();
        for (int i = 0; i < before.size(); i++) {
            assertThat(after.get(i)).isEqualTo(before.get(i));
        }
    }

    @Test
    void namesTheParameterWhoseGradientIsNotFinite() {
        Module network = network();
        network.parameters().forEach((name, p) -> p.value().fill(name.endsWith("bias") ? 0 : 1));
        // A loss of 3e8 whose slope is beyond the largest float.
        Trainer trainer = new Trainer(
                Compute.shared(),
                network,
                step -> new Trainer.Batch(
                        Tensor.zeros(1, 3, 3, 3), Tensor.zeros(1, 3, 3, 3).fill(1e-30f)),
                (output, target) -> output.scale(100).l1Loss(target).scale(3e38f),
                step -> 0.01,
                new Adam(network.parameters()));
        assertThatThrownBy(trainer::run)
                .isInstanceOf(ArithmeticException.class)
                .hasMessageContaining("the gradient of ")
                .hasMessageContaining("at step 0");
    }

    @Test
    void clippingShortensTheGradientsTogetherAndSaysHowLongTheyWere() {
        // The update of plain gradient descent shows the clipped gradient; Adam's first step does not depend on its
        // length.
        List<Float> lengths = new ArrayList<>();
        for (double limit : new double[] {Double.POSITIVE_INFINITY, 1e-3}) {
            Module network = network();
            Adam.Options l2 = new Adam.Options(0, 0, 1, 0, false, false);
            Trainer trainer = new Trainer(
                    Compute.shared(),
                    network,
                    TrainerTest::batch,
                    Value::l1Loss,
                    step -> 1,
                    new Adam(network.parameters(), l2),
                    new Trainer.Options(limit, 0));
            Map<String, float[]> before = new LinkedHashMap<>();
            network.parameters().forEach((name, p) -> before.put(name, p.value().toArray()));
            double norm = trainer.run().gradientNorm();
            assertThat(norm).isGreaterThan(0.01);
            double squares = 0;
            for (Map.Entry<String, Parameter> e : network.parameters().entrySet()) {
                float[] now = e.getValue().value().toArray();
                for (int i = 0; i < now.length; i++) {
                    // Adam without momentum and with epsilon 1 moves by g / (|g| + 1).
                    double step = Math.abs((double) before.getOrDefault(e.getKey(), now)[i] - now[i]);
                    squares += Math.pow(step / (1 - step), 2);
                }
            }
            assertThat(Math.sqrt(squares)).isCloseTo(Math.min(norm, limit), withinPercentage(0.5));
            lengths.add((float) norm);
        }
        assertThat(lengths.get(1)).isEqualTo(lengths.get(0));
    }

    @Test
    void theAverageLagsBehindTheWeightsAndIsOnlyLent() {
        Module network = network();
        Trainer trainer = trainer(Compute.shared(), network);
        Tensor weight = network.parameters().values().iterator().next().value();
        double expected = weight.toArray()[5];
        for (int n = 0; n < 4; n++) {
            trainer.run();
            double keep = Math.min(0.9, (1.0 + n) / (10 + n));
            expected = keep * expected + (1 - keep) * weight.toArray()[5];
        }
        float[] present = weight.toArray();
        double average = expected;
        trainer.withAverage(() -> assertThat((double) weight.toArray()[5]).isCloseTo(average, within(1e-6)));
        assertThat(weight.toArray()).isEqualTo(present);
        assertThat((double) present[5]).isNotCloseTo(average, within(1e-6));
    }
}
