// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.optim;

import dev.halftone.nn.Gradients;
import dev.halftone.nn.Parameter;
import dev.halftone.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Stochastic gradient descent with momentum and L2 weight decay, as PyTorch defines it: {@code v = momentum v + (g + decay w)},
 * {@code w = w - rate v}, where {@code v} starts as the first gradient. Changes parameters in place.
 */
public final class Sgd {
    private record Velocity(Parameter parameter, Tensor velocity) {}

    private final float momentum;
    private final float weightDecay;
    private final Map<String, Velocity> velocities = new LinkedHashMap<>();

    /** Creates an optimizer for those of the parameters that are trainable. */
    public Sgd(Map<String, Parameter> parameters, double momentum, double weightDecay) {
        this.momentum = (float) momentum;
        this.weightDecay = (float) weightDecay;
        parameters.forEach((name, p) -> {
            if (p.trainable()) {
                velocities.put(name, new Velocity(p, Tensor.zeros(p.value().shape())));
            }
        });
    }

    /** Does one step against the gradients. */
    public void step(Gradients gradients, double learningRate) {
        float rate = (float) learningRate;
        for (Velocity v : velocities.values()) {
            Tensor value = v.parameter.value();
            Tensor gradient = gradients.of(v.parameter);
            float[] w = value.array();
            float[] g = gradient.array();
            float[] u = v.velocity.array();
            int n = value.size();
            for (int i = 0; i < n; i++) {
                int at = value.offset() + i;
                u[i] = momentum * u[i] + (g[gradient.offset() + i] + weightDecay * w[at]);
                w[at] -= rate * u[i];
            }
        }
    }
}
