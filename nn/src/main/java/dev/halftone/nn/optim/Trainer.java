// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.optim;

import dev.halftone.nn.Graph;
import dev.halftone.nn.Module;
import dev.halftone.nn.StateDict;
import dev.halftone.nn.Value;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.InvalidFileException;
import dev.halftone.tensor.io.Safetensors;
import dev.halftone.tensor.io.StoredTensor;
import dev.halftone.tensor.io.WeightFile;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The training loop: batches in, Adam steps on a loss, exact checkpoints out.
 *
 * <p>Batches are a function of the step number and every reduction has a fixed order, so a run that is stopped and resumed from
 * its checkpoint ends with the same bytes as one that was never interrupted, whatever the thread count.
 */
public final class Trainer {
    /** Training data as a function of the step. */
    @FunctionalInterface
    public interface Batches {
        /** Returns the batch of a step; the same step always gives the same batch. */
        Batch at(long step);
    }

    /**
     * One step's data.
     *
     * @param input what the network reads
     * @param target what it should answer
     */
    public record Batch(Tensor input, Tensor target) {}

    /** A scalar loss of the network's output against the target. */
    @FunctionalInterface
    public interface Loss {
        /** Returns the loss in the graph of {@code output}. */
        Value of(Value output, Value target);
    }

    private static final String MODEL = "model.";
    private static final String OPTIMIZER = "optimizer.";

    private final Compute compute;
    private final Module network;
    private final Batches batches;
    private final Loss loss;
    private final LearningRateSchedule schedule;
    private final Adam optimizer;
    private long step;

    /** Creates a trainer at step 0. */
    public Trainer(
            Compute compute,
            Module network,
            Batches batches,
            Loss loss,
            LearningRateSchedule schedule,
            Adam optimizer) {
        this.compute = compute;
        this.network = network;
        this.batches = batches;
        this.loss = loss;
        this.schedule = schedule;
        this.optimizer = optimizer;
    }

    /** Returns the number of steps done. */
    public long step() {
        return step;
    }

    /**
     * Does one step and returns its loss.
     *
     * @throws ArithmeticException if the loss is not finite; the weights are then those before the step
     */
    public float run() {
        Batch batch = batches.at(step);
        Graph graph = Graph.recording(compute);
        Value output = network.forward(graph.constant(batch.input()));
        Value scalar = loss.of(output, graph.constant(batch.target()));
        float value = scalar.tensor().item();
        if (!Float.isFinite(value)) {
            throw new ArithmeticException("the loss is " + value + " at step " + step + "; lower the learning rate");
        }
        optimizer.step(graph.backward(scalar), schedule.at(step));
        step++;
        return value;
    }

    /**
     * Writes weights, optimizer state and step, atomically.
     *
     * @param metadata stored beside them, to be checked on resume
     */
    public void save(Path file, Map<String, String> metadata) throws IOException {
        List<StoredTensor> tensors = new ArrayList<>();
        for (StoredTensor t : StateDict.save(network)) {
            tensors.add(new StoredTensor(MODEL + t.name(), t.dtype(), t.shape(), t.data()));
        }
        optimizer.state().forEach((name, t) -> tensors.add(StoredTensor.of(OPTIMIZER + name, t)));
        Map<String, String> m = new LinkedHashMap<>(metadata);
        m.put("step", Long.toString(step));
        Safetensors.write(file, m, tensors);
    }

    /**
     * Continues from a file that {@link #save} wrote.
     *
     * @param expected entries that the file's metadata must have, so that a run is not continued with other settings
     * @throws InvalidFileException if the file is no such checkpoint or belongs to other settings
     */
    public void resume(WeightFile file, Map<String, String> expected) throws InvalidFileException {
        for (Map.Entry<String, String> e : expected.entrySet()) {
            String found = file.metadata().get(e.getKey());
            if (!e.getValue().equals(found)) {
                throw new InvalidFileException(
                        file.path(),
                        "is a checkpoint of a run with " + e.getKey() + " " + found + ", not " + e.getValue());
            }
        }
        Map<String, StoredTensor> model = new LinkedHashMap<>();
        Map<String, Tensor> state = new LinkedHashMap<>();
        file.tensors().forEach((name, t) -> {
            if (name.startsWith(MODEL)) {
                model.put(name.substring(MODEL.length()), t);
            } else if (name.startsWith(OPTIMIZER)) {
                state.put(name.substring(OPTIMIZER.length()), t.toTensor());
            }
        });
        long at;
        try {
            at = Long.parseLong(file.metadata().getOrDefault("step", ""));
        } catch (NumberFormatException e) {
            throw new InvalidFileException(file.path(), "is not a training checkpoint: it has no step number");
        }
        StateDict.load(network, model, file.path());
        try {
            optimizer.restore(state);
        } catch (IllegalArgumentException e) {
            throw new InvalidFileException(file.path(), "is not a checkpoint of this network: " + e.getMessage());
        }
        step = at;
    }
}
