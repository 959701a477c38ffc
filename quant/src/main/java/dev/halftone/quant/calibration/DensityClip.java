// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.calibration;

import dev.halftone.tensor.UniformGrid;

/**
 * Density-based dual clipping (Tu et al. 2023, PTQ4SR, section 3.2): of the two outermost bins of a histogram, the one that holds fewer
 * values is dropped, again and again, for as long as no more than a share of all values goes. So the bound on the side where values thin out moves, and
 * on the other side, where they are dense, it hardly does.
 *
 * <p>The share is the published code's: 1e-5 of the values at 8 bits and 5e-4 at 4; between these its logarithm is interpolated, and
 * fewer bits than 4, which the paper does not have, are treated as 4. The code averages the bounds of 30 batches; here all images make one
 * histogram, of 1025 to 2048 bins.
 */
public record DensityClip() implements Calibrator {
    private static final int BINS = 2048;

    @Override
    public String id() {
        return "density-clip";
    }

    /** Returns the share of the values that is clipped, both sides together. */
    static double clipped(int bits) {
        return 5e-4 * Math.pow(1e-5 / 5e-4, (Math.max(bits, 4) - 4) / 4.0);
    }

    @Override
    public UniformGrid calibrate(Distribution values, int bits, Tails tails) {
        Histogram histogram = values.histogram().coarsened(BINS);
        double least = (1 - clipped(bits)) * values.count();
        int first = 0;
        int last = histogram.bins() - 1;
        double kept = values.count();
        while (first < last) {
            boolean lower = histogram.count(first) < histogram.count(last);
            kept -= histogram.count(lower ? first : last);
            if (kept < least) {
                break;
            }
            first += lower ? 1 : 0;
            last -= lower ? 0 : 1;
        }
        float lower = Math.max(values.min(), (float) histogram.start(first));
        float upper = Math.min(values.max(), (float) histogram.start(last + 1));
        return Calibrator.covering(bits, lower, upper);
    }
}
