// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.Parameter;
import dev.halftone.quant.Quantization.SiteState;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * Trains what the passes before it have chosen so that the quantized network answers as the fp32 one does: the bounds, as 2DQuant's
 * distillation does (Liu et al. 2024, section 3.3), and, if wanted, the weights too. The loss is the mean absolute difference of
 * the outputs, and {@code featureWeight} times that of each block's outputs relative to their mean magnitude.
 *
 * <p>Gradients pass straight through the rounding ({@link FakeQuantizedConv2d}). Adam's steps are relative to what they change: to the
 * distance of a pair of bounds, and to the root mean square of a layer's weights. The rate falls as half a cosine.
 *
 * @param steps of one calibration batch each
 * @param trained what is trained
 * @param featureWeight 0 where blocks are not compared
 * @param averageDecay of the moving average of all that is trained, which is what is validated and kept; 0 for none
 */
public record Distill(long steps, Trained trained, double featureWeight, double averageDecay) implements Pass {
    /** What is trained. */
    public enum Trained {
        /** The bounds of weights and activations, as in the papers. */
        BOUNDS,
        /** The weights and biases of all layers too. */
        BOUNDS_AND_WEIGHTS
    }

    /**
     * The highest rates.
     *
     * @param bounds step of bounds as a fraction of their distance
     * @param weights step of weights as a fraction of their root mean square
     */
    record Rates(double bounds, double weights) {
        /** Returns the largest step of a parameter. */
        double of(String name, Map<String, Parameter> parameters) {
            Parameter own = get(parameters, name);
            String stem = name.substring(0, Math.max(0, name.lastIndexOf('_')));
            if (name.endsWith("_lower") || name.endsWith("_upper")) {
                Tensor lower = get(parameters, stem + "_lower").value();
                Tensor upper = get(parameters, stem + "_upper").value();
                double sum = 0;
                for (int i = 0; i < lower.size(); i++) {
                    sum += (double) upper.get(i) - lower.get(i);
                }
                return bounds * sum / lower.size();
            }
            double squares = 0;
            for (float v : own.value().toArray()) {
                squares += (double) v * v;
            }
            return weights * Math.sqrt(squares / own.value().size());
        }

        private static Parameter get(Map<String, Parameter> parameters, String name) {
            Parameter p = parameters.get(name);
            if (p == null) {
                throw new IllegalStateException("no parameter " + name);
            }
            return p;
        }
    }

    /**
     * What training takes.
     *
     * @param step seconds of a step
     * @param once seconds of all else
     */
    record Cost(double step, double once) {}

    /** Checks the ranges. */
    public Distill {
        if (steps < 1) {
            throw new IllegalArgumentException("distillation takes at least 1 step, not " + steps);
        }
        if (!(featureWeight >= 0 && averageDecay >= 0 && averageDecay < 1)) {
            throw new IllegalArgumentException(
                    "weight " + featureWeight + " of features and decay " + averageDecay + " of the average");
        }
    }

    /** Creates the pass that compares outputs only and keeps the average over about 50 steps. */
    public Distill(long steps, Trained trained) {
        this(steps, trained, 0, 0.98);
    }

    @Override
    public String id() {
        return "distill("
                + (trained == Trained.BOUNDS ? "bounds" : "bounds, weights")
                + (featureWeight > 0 ? ", features " + featureWeight + ")" : ")");
    }

    @Override
    public Pass withSteps(long other) {
        return new Distill(other, trained, featureWeight, averageDecay);
    }

    /** Returns the rates for a number of bits. */
    Rates rates(Quantization.Options options) {
        return new Rates(4e-3, trained == Trained.BOUNDS ? 0 : 2e-3);
    }

    @Override
    public void apply(Quantization run) {
        List<FakeQuantizedConv2d> layers = run.sites().stream().map(run::fake).toList();
        int index = run.nextTraining();
        run.report(with(run, layers, distillation -> distillation.train(index)));
        for (int i = 0; i < layers.size(); i++) {
            run.sites().get(i).weight = layers.get(i).weight();
            run.sites().get(i).activation = layers.get(i).activation();
        }
    }

    /** Returns what this pass costs on the machine as it is now; it spends about {@code limit} on finding out. */
    Cost cost(Quantization run, Duration limit) {
        // Time does not depend on the bounds, which no pass has chosen yet.
        UniformQuantizer weight =
                UniformQuantizer.perTensor(new UniformGrid(run.options().weightBits(), -1, 1));
        UniformGrid activation = new UniformGrid(run.options().activationBits(), -1, 1);
        List<FakeQuantizedConv2d> layers = run.sites().stream()
                .map(s -> new FakeQuantizedConv2d(s.conv, weight, activation))
                .toList();
        return with(run, layers, distillation -> distillation.cost(limit));
    }

    /** Does something while the network has trainable layers at its sites. */
    private <T> T with(Quantization run, List<FakeQuantizedConv2d> layers, Function<Distillation, T> action) {
        try {
            for (int i = 0; i < layers.size(); i++) {
                run.sites().get(i).site.slot().replace(layers.get(i));
            }
            try (Distillation distillation = new Distillation(run, this, layers)) {
                return action.apply(distillation);
            }
        } finally {
            for (SiteState s : run.sites()) {
                s.site.slot().replace(s.conv);
            }
        }
    }
}
