// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.nn.Child;
import dev.halftone.nn.Graph;
import dev.halftone.nn.Module;
import dev.halftone.nn.Value;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.pass.SequentialWalk.Unit;
import dev.halftone.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * How much each value that a unit answers matters to the network: the gradient, there, of the squared error of the network's output, where
 * units up to this one are quantized and those behind it are not. Its square is the diagonal of the Fisher information with which
 * BRECQ (Li et al. 2021, equation 10) weights the unit's own error.
 *
 * <p>The network's other units need not run again: what they have answered takes their places.
 */
final class OutputGradients implements Reconstruct.Weights {
    /** Images that are computed at a time. */
    private static final int BATCH = 4;

    private final Quantization run;
    private final Tensor images;
    private final Tensor wanted;
    private final Map<Unit, Tensor> answers = new LinkedHashMap<>();
    private final List<Unit> units;

    /** Runs the fp32 network. */
    OutputGradients(Quantization run, List<Unit> units, Tensor images) {
        this.run = run;
        this.units = List.copyOf(units);
        this.images = images;
        this.wanted = run.supervision()
                .teacher()
                .forward(Graph.eager(run.compute()).constant(images))
                .tensor();
    }

    /** Keeps what a unit answers to the images from here on. */
    @Override
    public void settle(Unit unit, Tensor answer) {
        answers.put(unit, answer);
    }

    /**
     * Returns the factors of a unit's errors: {@code 1 + |g|} in units of the root mean square of {@code g}, whose squares are 1 on average. Without
     * the 1, which the published code adds too, values whose gradient happens to be near 0 on these few images may go anywhere.
     */
    @Override
    public Tensor roots(Unit unit, Tensor answer) {
        Tensor g = of(unit, answer);
        double power = 0;
        for (float v : g.array()) {
            power += (double) v * v / g.size();
        }
        double rms = Math.sqrt(power);
        double squares = 0;
        for (int i = 0; i < g.size(); i++) {
            g.array()[i] = power == 0 ? 1 : (float) (1 + Math.abs(g.array()[i]) / rms);
            squares += (double) g.array()[i] * g.array()[i] / g.size();
        }
        for (int i = 0; i < g.size(); i++) {
            g.array()[i] /= (float) Math.sqrt(squares);
        }
        return g;
    }

    /**
     * Returns the gradients of the mean squared errors of the images, each of its own.
     *
     * @param answer of the unit to all images
     */
    Tensor of(Unit unit, Tensor answer) {
        Tensor all = Tensor.zeros(answer.shape());
        each(unit, answer, (at, loss, y) -> {
            Tensor g = y.graph().backward(loss).of(y);
            int size = answer.size() / answer.dim(0);
            for (int i = 0; i < g.size(); i++) {
                all.array()[at * size + i] =
                        g.array()[g.offset() + i] * y.shape().dim(0);
            }
        });
        return all;
    }

    /** Returns the sum of the mean squared errors of all images. */
    double loss(Unit unit, Tensor answer) {
        double[] sum = new double[1];
        each(
                unit,
                answer,
                (at, loss, y) -> sum[0] += loss.tensor().item() * y.shape().dim(0));
        return sum[0];
    }

    /** Is told the mean squared error of some images. */
    @FunctionalInterface
    private interface Part {
        void take(int at, Value loss, Value answer);
    }

    private void each(Unit unit, Tensor answer, Part part) {
        Map<Child, Module> before = new LinkedHashMap<>();
        units.forEach(u -> before.put(u.slot(), u.slot().module()));
        try {
            for (int at = 0; at < images.dim(0); at += BATCH) {
                int n = Math.min(BATCH, images.dim(0) - at);
                Graph graph = Graph.recording(run.compute());
                Value y = graph.variable(Reconstruct.some(answer, at, n));
                for (Unit other : units) {
                    Tensor settled = answers.get(other);
                    Module inPlace = other.equals(unit)
                            ? new Answer(y)
                            : settled == null
                                    ? other.module()
                                    : new Answer(graph.constant(Reconstruct.some(settled, at, n)));
                    other.slot().replace(inPlace);
                }
                Value output = run.network().forward(graph.constant(Reconstruct.some(images, at, n)));
                part.take(at, output.mseLoss(graph.constant(Reconstruct.some(wanted, at, n))), y);
            }
        } finally {
            before.forEach(Child::replace);
        }
    }

    /** Answers what is known. */
    private static final class Answer extends Module {
        private final Value answer;

        Answer(Value answer) {
            this.answer = answer;
        }

        @Override
        public Value forward(Value x) {
            return answer;
        }
    }
}
