// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.format.Codebook;
import dev.halftone.quant.format.Halves;
import dev.halftone.tensor.LevelTable;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;

/**
 * Rounds weights to the numbers of a small floating-point format with a sign: of the formats of the weight's bits the one of least squared error, with
 * a scale for each output channel, which is searched too (the weights of MSFP). At 1 bit, where no format has a sign, levels are
 * {@code -s} and {@code s}.
 */
public record RoundToFloats() implements Pass {
    /** Scales are 1 to 0.22 of the one that reaches the largest magnitude. */
    private static final int RATIOS = 40;

    private static final double STEP = 0.02;

    @Override
    public String id() {
        return "round-to-floats";
    }

    @Override
    public void apply(Quantization run) {
        run.storeWeights((weight, _) -> round(weight.values(), weight.bits()));
    }

    /** Returns the stored form of a weight {@code [..., out]}. */
    static Codebook round(Tensor w, int bits) {
        Codebook best = null;
        double least = Double.POSITIVE_INFINITY;
        for (double[] levels : tables(bits)) {
            Tensor scale = Tensor.zeros(1, w.dim(-1));
            double error = scales(w, LevelTable.of(bits, floats(levels)), scale);
            if (error < least) {
                least = error;
                best = Codebook.nearest(w, Tensor.of(codes(levels, bits), 1 << bits), scale, null);
            }
        }
        if (best == null) {
            throw new IllegalStateException("no format of " + bits + " bits");
        }
        return best;
    }

    private static List<double[]> tables(int bits) {
        List<double[]> tables = new ArrayList<>();
        if (bits == 1) {
            tables.add(new double[] {-1, 1});
        }
        FloatFormat.of(bits, true).forEach(format -> tables.add(format.levels()));
        return tables;
    }

    private static float[] floats(double[] levels) {
        float[] floats = new float[levels.length];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = (float) levels[i];
        }
        return floats;
    }

    /** Returns a level for each code: the number that two codes stand for comes twice. */
    private static float[] codes(double[] levels, int bits) {
        float[] codes = new float[1 << bits];
        int missing = codes.length - levels.length;
        for (int i = 0; i < codes.length; i++) {
            codes[i] = (float) levels[i < codes.length / 2 ? i : i - missing];
        }
        return codes;
    }

    /** Finds the scales and returns the squared error. */
    private static double scales(Tensor w, LevelTable table, Tensor scale) {
        int out = w.dim(-1);
        double sum = 0;
        for (int c = 0; c < out; c++) {
            double magnitude = 0;
            for (int i = c; i < w.size(); i += out) {
                magnitude = Math.max(magnitude, Math.abs(w.array()[w.offset() + i]));
            }
            double least = Double.POSITIVE_INFINITY;
            for (int k = 0; k < RATIOS; k++) {
                float s = Halves.nearest((1 - STEP * k) * magnitude / table.upper());
                double error = error(w, c, table, s);
                if (error < least) {
                    least = error;
                    scale.set(s, 0, c);
                }
            }
            sum += least;
        }
        return sum;
    }

    private static double error(Tensor w, int channel, LevelTable table, float scale) {
        Shape shape = w.shape();
        double error = 0;
        for (int i = channel; i < shape.size(); i += shape.dim(-1)) {
            float v = w.array()[w.offset() + i];
            float level = scale == 0 ? 0 : scale * table.level(table.code(v / scale));
            error += (double) (v - level) * (v - level);
        }
        return error;
    }
}
