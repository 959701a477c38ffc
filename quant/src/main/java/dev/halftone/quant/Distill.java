// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.Graph;
import dev.halftone.nn.Module;
import dev.halftone.nn.Parameter;
import dev.halftone.nn.Value;
import dev.halftone.nn.optim.Adam;
import dev.halftone.nn.optim.CosineSchedule;
import dev.halftone.nn.optim.Trainer;
import dev.halftone.quant.Quantization.SiteState;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Trains what the passes before it have chosen so that the quantized network answers as the fp32 one does: the bounds, as 2DQuant's
 * distillation does (Liu et al. 2024, section 3.3), and, unlike there, the weights too. The loss is the mean absolute difference of
 * the outputs; there is no loss on features, which the paper's released code divides by so much that it does not count.
 *
 * <p>Gradients pass straight through the rounding ({@link FakeQuantizedConv2d}). Adam's steps are relative to what they change: to the
 * distance of a pair of bounds, and to the root mean square of a layer's weights. The rate falls as half a cosine.
 *
 * @param steps of one calibration batch each
 * @param weights whether weights and biases are trained too
 */
public record Distill(long steps, boolean weights) implements Pass {
    /** Step of bounds as a fraction of their distance. */
    private static final double BOUND_RATE = 4e-3;

    /** Step of weights as a fraction of their root mean square. */
    private static final double WEIGHT_RATE = 2e-3;

    private static final double AVERAGE_DECAY = 0.98;

    /** Checks the range. */
    public Distill {
        if (steps < 1) {
            throw new IllegalArgumentException("distillation takes at least 1 step, not " + steps);
        }
    }

    @Override
    public String id() {
        return weights ? "distill(bounds, weights)" : "distill(bounds)";
    }

    @Override
    public Pass withSteps(long other) {
        return new Distill(other, weights);
    }

    @Override
    public void apply(Quantization run) {
        List<FakeQuantizedConv2d> layers = new ArrayList<>();
        for (SiteState s : run.sites()) {
            layers.add(run.fake(s));
        }
        try {
            for (int i = 0; i < layers.size(); i++) {
                run.sites().get(i).site.slot().replace(layers.get(i));
            }
            train(run);
            for (int i = 0; i < layers.size(); i++) {
                run.sites().get(i).weight = layers.get(i).weight();
                run.sites().get(i).activation = layers.get(i).activation();
            }
        } finally {
            for (SiteState s : run.sites()) {
                s.site.slot().replace(s.conv);
            }
        }
    }

    private void train(Quantization run) {
        Compute compute = run.compute();
        Module teacher = run.teacher();
        Module student = run.network();
        Map<String, Parameter> parameters = student.parameters();
        Trainer trainer = new Trainer(
                compute,
                student,
                step -> {
                    Tensor x = run.batch(step);
                    Tensor y = teacher.forward(Graph.eager(compute).constant(x)).tensor();
                    return new Trainer.Batch(x, y);
                },
                Value::l1Loss,
                new CosineSchedule(1, steps, Math.min(10, steps - 1)),
                new Adam(parameters, Adam.Options.DEFAULT, name -> rate(name, parameters)),
                new Trainer.Options(Double.POSITIVE_INFINITY, AVERAGE_DECAY));
        while (trainer.step() < steps) {
            float loss = trainer.run().loss();
            run.progress().update(trainer.step(), steps, loss);
        }
        trainer.keepAverage();
    }

    /** Returns the largest step of a parameter. */
    private double rate(String name, Map<String, Parameter> parameters) {
        String layer = name.substring(0, name.lastIndexOf('.') + 1);
        String kind = name.substring(layer.length());
        if (kind.endsWith("_lower") || kind.endsWith("_upper")) {
            String stem = layer + kind.substring(0, kind.lastIndexOf('_'));
            return BOUND_RATE * meanDistance(parameters, stem);
        }
        Parameter own = parameters.get(name);
        return weights && own != null ? WEIGHT_RATE * rootMeanSquare(own.value()) : 0;
    }

    private static double meanDistance(Map<String, Parameter> parameters, String stem) {
        Parameter lower = parameters.get(stem + "_lower");
        Parameter upper = parameters.get(stem + "_upper");
        if (lower == null || upper == null) {
            throw new IllegalStateException("one of the bounds of " + stem + " is missing");
        }
        double sum = 0;
        for (int i = 0; i < lower.value().size(); i++) {
            sum += (double) upper.value().get(i) - lower.value().get(i);
        }
        return sum / lower.value().size();
    }

    private static double rootMeanSquare(Tensor values) {
        double sum = 0;
        for (float v : values.toArray()) {
            sum += (double) v * v;
        }
        return Math.sqrt(sum / values.size());
    }
}
