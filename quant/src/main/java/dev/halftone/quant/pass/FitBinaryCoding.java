// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.format.BinaryCoding;
import java.util.ArrayList;
import java.util.List;

/**
 * Stores weights as planes of signs with scales and an offset for every output ({@link BinaryCoding}), fitted in turns: scales and offset by
 * least squares for the signs, then for each weight the nearest of all levels. Both steps can only lower the error. It begins
 * with one plane after the other, and with the levels of the uniform min-max grid, and keeps the better: the initialisation of
 * UniQuanF (Park et al. 2025), with least squares for all scales at once. It needs no data.
 *
 * @param rounds at most; it ends when the error no longer falls
 */
public record FitBinaryCoding(int rounds) implements Pass {
    /** Checks the range. */
    public FitBinaryCoding {
        if (rounds < 1) {
            throw new IllegalArgumentException("a fit takes at least 1 round, not " + rounds);
        }
    }

    @Override
    public String id() {
        return "fit-binary-coding(" + rounds + " rounds)";
    }

    @Override
    public void apply(Quantization run) {
        run.storeWeights((weight, _) -> {
            WeightColumns columns = WeightColumns.of(weight.values());
            List<BinaryFit> fits = new ArrayList<>();
            for (int o = 0; o < columns.out(); o++) {
                fits.add(fit(columns.column(o), weight.bits(), rounds, new ArrayList<>()));
            }
            return columns.binaryCoding(fits);
        });
    }

    /** Returns the fit of some weights; {@code errors} gets those of all rounds of the start that was kept. */
    static BinaryFit fit(double[] w, int planes, int rounds, List<Double> errors) {
        List<Double> greedyErrors = new ArrayList<>();
        List<Double> uniformErrors = new ArrayList<>();
        BinaryFit greedy = refine(BinaryFit.greedy(w, planes), rounds, greedyErrors);
        BinaryFit uniform = refine(BinaryFit.uniform(w, planes), rounds, uniformErrors);
        boolean first = greedyErrors.getLast() <= uniformErrors.getLast();
        errors.addAll(first ? greedyErrors : uniformErrors);
        return first ? greedy : uniform;
    }

    private static BinaryFit refine(BinaryFit start, int rounds, List<Double> errors) {
        BinaryFit best = start;
        errors.add(start.error());
        for (int round = 0; round < rounds; round++) {
            BinaryFit next = best.copy();
            next.regress();
            next.pick();
            double error = next.error();
            if (error >= errors.getLast()) {
                break;
            }
            errors.add(error);
            best = next;
        }
        return best;
    }
}
