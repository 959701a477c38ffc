// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.calibration.Calibrator;
import dev.halftone.quant.calibration.Samples;
import dev.halftone.quant.calibration.Tails;
import dev.halftone.quant.format.NestedWeight;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.ArrayList;
import java.util.List;

/**
 * Stores weights such that a network can be opened at any width from 1 to 8 bits ({@link NestedWeight}; after One-Model-for-All). It needs
 * no data. One range has to serve all widths: bounds of least error at 8 bits are far too wide for 2, those for 2 bits cut what 8 bits
 * could tell apart. It is the range of a calibrator's bounds for 3 bits: for normal weights 2 bits then have 1.1 times, and 4 bits 1.1 times, the
 * error of the best range for each, and 8 bits a quarter of the error of 4.
 *
 * @param calibrator of the range
 */
public record NestBits(Calibrator calibrator) implements Pass {
    /** The width for which the range is chosen. */
    private static final int MIDDLE = 3;

    @Override
    public String id() {
        return "nest-bits(" + calibrator.id() + ")";
    }

    @Override
    public void apply(Quantization run) {
        run.storeWeights((weight, _) -> {
            Tensor w = weight.values();
            return NestedWeight.of(w, master(weight.name(), w), weight.bits());
        });
    }

    /** Returns the grid of 8 bits of each output. */
    public UniformQuantizer master(String name, Tensor w) {
        List<UniformGrid> grids = new ArrayList<>();
        for (int o = 0; o < w.dim(-1); o++) {
            UniformGrid middle = calibrator.calibrate(Samples.ofChannel(name, w, o), MIDDLE, Tails.BOTH);
            // The levels of 3 bits are to be in the middle of the eighths of the range.
            float half = middle.scale() / 2;
            grids.add(new UniformGrid(NestedWeight.WIDTHS, middle.lower() - half, middle.upper() + half));
        }
        return new UniformQuantizer(grids);
    }
}
