// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.matrix.Matrix;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/**
 * Stores weights as planes of signs, as {@link FitBinaryCoding} does, and then lowers the error of the layer's outputs on the calibration images
 * in turns: signs are chosen one input after the other, later ones making up for the error as in {@link Gptq}, and for these signs
 * scales and offset are refined as in {@link Arb.Form#OUTPUTS}. Every output keeps the best that it had.
 *
 * @param rounds of the fit to the weights
 * @param turns of signs and scales
 * @param damping what is added to the diagonal of {@code X^T X}, relative to its mean, where signs are chosen
 */
public record FitBinaryOutputs(int rounds, int turns, double damping) implements Pass {
    private static final int REFINEMENTS = 15;

    /** Checks the ranges. */
    public FitBinaryOutputs {
        if (rounds < 1 || turns < 1 || !(damping > 0)) {
            throw new IllegalArgumentException(
                    rounds + " rounds, " + turns + " turns and a damping of " + damping + ", all to be positive");
        }
    }

    @Override
    public String id() {
        return "fit-binary-outputs(" + rounds + " rounds, " + turns + " turns)";
    }

    @Override
    public void apply(Quantization run) {
        Function<InputOperand, Matrix> grams = Gram.observe(run);
        run.storeWeights((weight, input) -> {
            WeightColumns columns = WeightColumns.of(weight.values());
            return columns.binaryCoding(fit(columns, weight.bits(), grams.apply(input), new ArrayList<>()));
        });
    }

    /**
     * Returns the fit of every output.
     *
     * @param h {@code X^T X / N} of the input
     * @param errors gets the sum of output errors of the fit to the weights, and after every turn
     */
    List<BinaryFit> fit(WeightColumns w, int planes, Matrix h, List<Double> errors) {
        List<BinaryFit> best = new ArrayList<>();
        double[] least = new double[w.out()];
        Matrix original = Matrix.zeros(w.rows(), w.out());
        double sum = 0;
        for (int o = 0; o < w.out(); o++) {
            best.add(FitBinaryCoding.fit(w.column(o), planes, rounds, new ArrayList<>()));
            least[o] = refined(best.get(o), w.column(o), h, 0);
            sum += least[o];
            for (int r = 0; r < w.rows(); r++) {
                original.set(r, o, w.column(o)[r]);
            }
        }
        errors.add(sum);
        Gptq.Feedback feedback = Gptq.Feedback.of(Gptq.damped(h, damping));
        for (int turn = 0; turn < turns; turn++) {
            List<BinaryFit> next = best.stream().map(BinaryFit::copy).toList();
            double[][] levels = next.stream().map(BinaryFit::levels).toArray(double[][]::new);
            Gptq.round(
                    original,
                    (row, o, value) -> {
                        int code = nearest(levels[o], value);
                        next.get(o).set(row, code);
                        return levels[o][code];
                    },
                    feedback);
            sum = 0;
            for (int o = 0; o < w.out(); o++) {
                double error = refined(next.get(o), w.column(o), h, REFINEMENTS);
                if (error < least[o]) {
                    least[o] = error;
                    best.set(o, next.get(o));
                }
                sum += least[o];
            }
            errors.add(sum);
        }
        return best;
    }

    /** Refines scales and offset and returns the output error. */
    private static double refined(BinaryFit fit, double[] w, Matrix h, int refinements) {
        List<Double> errors = new ArrayList<>();
        Arb.refineOutput(fit, w, h, refinements, errors);
        return errors.getLast();
    }

    private static int nearest(double[] levels, double value) {
        int best = 0;
        for (int code = 1; code < levels.length; code++) {
            if (Math.abs(levels[code] - value) < Math.abs(levels[best] - value)) {
                best = code;
            }
        }
        return best;
    }
}
