// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import dev.halftone.nn.StateDict;
import dev.halftone.nn.Value;
import dev.halftone.nn.optim.Adam;
import dev.halftone.nn.optim.CosineSchedule;
import dev.halftone.nn.optim.Trainer;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.io.Safetensors;
import dev.halftone.tensor.io.WeightFile;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Trains a super-resolution network: L1 loss on patches, Adam with warm-up and cosine decay, checkpoints from which
 * a stopped run goes on exactly where it was.
 */
public final class Training {
    /**
     * How to train.
     *
     * @param data what to sample
     * @param steps in all, those of a resumed run included
     * @param learningRate at the top of the schedule
     * @param checkpointEvery steps between checkpoints
     * @param validateEvery steps between validations
     */
    public record Options(
            PatchSampler.Options data, long steps, double learningRate, long checkpointEvery, long validateEvery) {
        private static final long WARM_UP = 200;

        /** Returns the steps over which the learning rate rises linearly. */
        long warmUp() {
            return Math.min(WARM_UP, steps / 10);
        }
    }

    /** Told what happens. */
    public interface Listener {
        /** A step is done. */
        void step(long step, long steps, float loss, double learningRate);

        /** The network was validated after {@code step} steps. */
        void validated(long step, Evaluation result);
    }

    private final Compute compute;
    private final SuperResolutionNetwork network;
    private final Options options;
    private final Trainer trainer;
    private final CosineSchedule schedule;

    /** Prepares a run from step 0 with the network's present weights. */
    public Training(Compute compute, SuperResolutionNetwork network, PatchSampler sampler, Options options) {
        this.compute = compute;
        this.network = network;
        this.options = options;
        this.schedule = new CosineSchedule(options.learningRate(), options.steps(), options.warmUp());
        this.trainer = new Trainer(
                compute,
                network.module(),
                sampler,
                Value::l1Loss,
                schedule,
                new Adam(network.module().parameters()));
    }

    /** Returns the settings that a checkpoint must share to be resumed. */
    private Map<String, String> settings() {
        Map<String, String> m = new LinkedHashMap<>(network.metadata());
        m.put("patch", Integer.toString(options.data().patch()));
        m.put("batch", Integer.toString(options.data().batch()));
        m.put("procedural_share", Double.toString(options.data().proceduralShare()));
        m.put("seed", Long.toString(options.data().seed()));
        m.put("steps", Long.toString(options.steps()));
        m.put("learning_rate", Double.toString(options.learningRate()));
        return m;
    }

    /** Continues from a checkpoint of a run with the same settings. */
    public void resume(Path checkpoint) throws IOException {
        trainer.resume(WeightFile.read(checkpoint), settings());
    }

    /**
     * Runs to the end.
     *
     * @param checkpoint written every {@code checkpointEvery} steps and at the end
     * @param validation test pairs, empty for none
     */
    public void run(Path checkpoint, List<Evaluation.Pair> validation, Listener listener) throws IOException {
        while (trainer.step() < options.steps()) {
            double rate = schedule.at(trainer.step());
            float loss = trainer.run();
            long step = trainer.step();
            listener.step(step, options.steps(), loss, rate);
            boolean last = step == options.steps();
            if (last || step % options.checkpointEvery() == 0) {
                trainer.save(checkpoint, settings());
            }
            if (!validation.isEmpty() && (last || step % options.validateEvery() == 0)) {
                try (Upscaler upscaler = Upscaler.of(network, compute)) {
                    listener.validated(
                            step,
                            Evaluation.run(
                                    compute, validation, network.scale(), upscaler::upscale, Tiler.Progress.NONE));
                }
            }
        }
    }

    /** Writes the weights alone, with the architecture and {@code about} as metadata, atomically. */
    public static void export(SuperResolutionNetwork network, Map<String, String> about, Path file) throws IOException {
        Map<String, String> metadata = new LinkedHashMap<>(network.metadata());
        metadata.putAll(about);
        Safetensors.write(file, metadata, StateDict.save(network.module()));
    }
}
