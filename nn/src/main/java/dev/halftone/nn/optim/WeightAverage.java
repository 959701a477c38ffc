// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.optim;

import dev.halftone.nn.Parameter;
import dev.halftone.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The exponential moving average of a network's weights (Polyak and Juditsky 1992), which scores better than the last weights
 * while the learning rate is high. After {@code n} updates an update keeps {@code min(decay, (1 + n) / (10 + n))} of it, so that
 * the random weights of the beginning are soon forgotten.
 */
final class WeightAverage {
    private final Map<String, Parameter> parameters = new LinkedHashMap<>();
    private final Map<String, float[]> averages = new LinkedHashMap<>();
    private final double decay;
    private long updates;

    /** Starts with the present weights. */
    WeightAverage(Map<String, Parameter> parameters, double decay) {
        this.decay = decay;
        parameters.forEach((name, parameter) -> {
            if (parameter.trainable()) {
                this.parameters.put(name, parameter);
                averages.put(name, parameter.value().toArray());
            }
        });
    }

    /** Takes the present weights into the average. */
    void update() {
        float take = (float) (1 - Math.min(decay, (1.0 + updates) / (10 + updates)));
        updates++;
        averages.forEach((name, average) -> {
            float[] weight = weight(name).toArray();
            for (int i = 0; i < average.length; i++) {
                average[i] += take * (weight[i] - average[i]);
            }
        });
    }

    /** Exchanges weights and averages. */
    void swap() {
        averages.forEach((name, average) -> {
            Tensor weight = weight(name);
            float[] present = weight.toArray();
            weight.copyFrom(Tensor.wrap(average.clone(), 0, weight.shape()));
            System.arraycopy(present, 0, average, 0, average.length);
        });
    }

    private Tensor weight(String name) {
        Parameter parameter = parameters.get(name);
        if (parameter == null) {
            throw new IllegalStateException("no parameter " + name);
        }
        return parameter.value();
    }

    /** Returns copies of the averages by the parameters' names, in the memory layout of the parameters. */
    Map<String, Tensor> state() {
        Map<String, Tensor> state = new LinkedHashMap<>();
        averages.forEach((name, average) ->
                state.put(name, Tensor.wrap(average.clone(), 0, weight(name).shape())));
        return state;
    }

    /**
     * Restores what {@link #state()} returned after {@code steps} updates.
     *
     * @throws IllegalArgumentException if an entry is missing or of another shape
     */
    void restore(Map<String, Tensor> state, long steps) {
        averages.forEach((name, average) -> {
            Tensor stored = state.get(name);
            if (stored == null || !stored.shape().equals(weight(name).shape())) {
                throw new IllegalArgumentException("the average of " + name + " is "
                        + (stored == null
                                ? "missing"
                                : stored.shape() + " instead of " + weight(name).shape()));
            }
        });
        averages.forEach((name, average) -> {
            Tensor stored = state.get(name);
            if (stored != null) {
                System.arraycopy(stored.toArray(), 0, average, 0, average.length);
            }
        });
        updates = steps;
    }
}
