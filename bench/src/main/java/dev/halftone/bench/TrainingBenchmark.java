// SPDX-License-Identifier: Apache-2.0
package dev.halftone.bench;

import dev.halftone.models.Edsr;
import dev.halftone.models.EdsrConfig;
import dev.halftone.nn.Graph;
import dev.halftone.nn.Value;
import dev.halftone.nn.optim.Adam;
import dev.halftone.nn.optim.Trainer;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * A training step of EDSR x2 (8 blocks x 64 channels) on 8 patches of 48x48 low-resolution pixels: forward alone, and forward, backward
 * and Adam. The forward pass is 28.9 GFLOP, a step 86.6; {@code bench/peers/pytorch_training.py} does the same in PyTorch.
 */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 4, time = 5)
@Measurement(iterations = 5, time = 5)
@Fork(value = 1, jvmArgsAppend = "--add-modules=jdk.incubator.vector")
@State(Scope.Benchmark)
public class TrainingBenchmark {
    private static final int BATCH = 8;
    private static final int PATCH = 48;
    private static final int SCALE = 2;
    private static final int RGB = 3;

    /** Threads. */
    @Param({"1", "2"})
    public int threads;

    private final Edsr network = new Edsr(new EdsrConfig(8, 64, SCALE, 1)).initialize(new SplittableRandom(1));
    private final Trainer.Batch batch = new Trainer.Batch(image(PATCH), image(SCALE * PATCH));
    private @Nullable Compute compute;
    private @Nullable Trainer trainer;

    /** Starts the threads. */
    @Setup
    public void start() {
        compute = Compute.ofThreads(threads);
        trainer = new Trainer(
                compute, network, step -> batch, Value::l1Loss, step -> 1e-4, new Adam(network.parameters()));
    }

    /** Ends the threads. */
    @TearDown
    public void stop() {
        Objects.requireNonNull(compute).close();
    }

    /** The forward pass, recorded for the backward pass. */
    @Benchmark
    public Tensor forward() {
        Graph graph = Graph.recording(Objects.requireNonNull(compute));
        return network.forward(graph.constant(batch.input())).tensor();
    }

    /** Forward, backward and Adam. */
    @Benchmark
    public float step() {
        return Objects.requireNonNull(trainer).run().loss();
    }

    private static Tensor image(int size) {
        SplittableRandom random = new SplittableRandom(size);
        Tensor image = Tensor.zeros(BATCH, size, size, RGB);
        for (int i = 0; i < image.size(); i++) {
            image.array()[i] = random.nextInt(256);
        }
        return image;
    }
}
