// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.calibration.Calibrator;
import dev.halftone.quant.calibration.Distribution;
import dev.halftone.quant.calibration.Histogram;
import dev.halftone.quant.format.ActivationQuantizer;
import dev.halftone.quant.format.Halves;
import dev.halftone.quant.format.LevelQuantizer;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.tensor.LevelTable;
import dev.halftone.tensor.Levels;
import dev.halftone.tensor.UniformGrid;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Gives every input the numbers of a small floating-point format, scaled, and moved by a zero point where they have no sign (after MSFP,
 * mixup-sign floating point). Of all formats of the input's bits with and without a sign, shrunken ranges and zero points, the one of least
 * squared error over the calibration images. Formats with one exponent bit are even grids, and where one of them is the best, the input has
 * an ordinary grid: a layer whose weight has one too runs on packed codes.
 */
public record CalibrateFloats() implements Pass {
    /** Ranges are 1 to 0.22 of the whole one, in steps of 2 %. */
    static final int RATIOS = 40;

    private static final int STEP = 2;

    /** Of the shrunken minimum: with 0 and a half, zero points that leave the values below to clipping. */
    private static final double[] ZERO_POINTS = {1, 0.5, 0};

    /** Bins that candidates are compared on. */
    private static final int BINS = 1024;

    @Override
    public String id() {
        return "calibrate-floats";
    }

    @Override
    public void apply(Quantization run) {
        List<Map.Entry<InputOperand, Histogram>> inputs =
                new ArrayList<>(run.observeInputs().entrySet());
        run.compute().forEachRange(inputs.size(), 1, (from, to) -> {
            for (Map.Entry<InputOperand, Histogram> each : inputs.subList(from, to)) {
                Histogram seen = each.getValue();
                Levels levels = choose(seen.coarsened(BINS), each.getKey().bits());
                ActivationQuantizer by = switch (levels) {
                    case UniformGrid grid -> UniformQuantizer.perTensor(grid);
                    case LevelTable table -> new LevelQuantizer(table);
                };
                each.getKey().quantize(by, CalibrateActivations.relativeError(seen, levels));
            }
        });
    }

    /** Returns the levels of least squared error; the even grid over the whole range is one of those that are tried. */
    static Levels choose(Distribution values, int bits) {
        UniformGrid whole = Calibrator.covering(bits, values.min(), values.max());
        Levels best = whole;
        double least = values.squaredError(whole);
        for (int i = 0; i < RATIOS; i++) {
            for (Levels candidate : candidates(bits, whole.lower(), whole.upper(), 1 - 0.01 * STEP * i)) {
                double error = values.squaredError(candidate);
                if (error < least) {
                    least = error;
                    best = candidate;
                }
            }
        }
        return best;
    }

    /** Returns what a range that is shrunk towards 0, or towards the bound nearer to it, can be quantized to. */
    private static List<Levels> candidates(int bits, float min, float max, double ratio) {
        double fixed = Math.clamp(0f, min, max);
        double low = fixed + ratio * (min - fixed);
        double high = fixed + ratio * (max - fixed);
        List<Levels> candidates = new ArrayList<>();
        for (FloatFormat format : FloatFormat.of(bits, true)) {
            double scale = Math.max(Math.abs(low), Math.abs(high)) / format.largest();
            add(candidates, bits, format.levels(), scale, 0);
        }
        for (int z = 0; z < ZERO_POINTS.length && (z == 0 || low != 0); z++) {
            double zero = ZERO_POINTS[z] * low;
            for (FloatFormat format : FloatFormat.of(bits, false)) {
                if (!format.isEven()) {
                    add(candidates, bits, format.levels(), (high - zero) / format.largest(), zero);
                } else if ((float) (high - zero) / ((1 << bits) - 1) > 0) {
                    candidates.add(new UniformGrid(bits, (float) zero, (float) high));
                }
            }
        }
        return candidates;
    }

    private static void add(List<Levels> to, int bits, double[] levels, double scale, double zero) {
        double[] moved = new double[levels.length];
        for (int i = 0; i < moved.length; i++) {
            moved[i] = zero + scale * levels[i];
        }
        // Levels that are all the same in half precision are none.
        if (Halves.nearest(moved[0]) < Halves.nearest(moved[moved.length - 1])) {
            to.add(LevelQuantizer.of(bits, moved).table());
        }
    }
}
