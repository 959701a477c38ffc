// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;

/**
 * MATLAB's {@code imresize(image, scale, 'bicubic')}: cubic convolution with a = -0.5 (Keys 1981), stretched by {@code 1 / scale}
 * when it reduces (antialiasing), edges repeated symmetrically, height first, then width, output size {@code ceil(input * scale)}.
 *
 * <p>Images are {@code [H, W, C]} with any number of channels. Sums are taken in double precision, in the order of the input.
 */
public final class Bicubic {
    private Bicubic() {}

    /** Resizes {@code [H, W, C]} without rounding or clipping, in any range of values. */
    public static Tensor resize(Compute compute, Tensor image, double scale) {
        return resize(compute, image, scale, true, false);
    }

    /**
     * Resizes as {@link #resize(Compute, Tensor, double)}; without {@code antialias} a reduction interpolates between four
     * neighbours, as MATLAB does with {@code 'Antialiasing', false}.
     */
    public static Tensor resize(Compute compute, Tensor image, double scale, boolean antialias) {
        return resize(compute, image, scale, antialias, false);
    }

    /**
     * Resizes an 8-bit image as MATLAB resizes uint8: values are rounded (half up) and clipped to 0..255 after the height pass and
     * again after the width pass. This is how the low-resolution images of the usual benchmarks were made.
     */
    public static Tensor resizeUint8(Compute compute, Tensor image, double scale) {
        return resize(compute, image, scale, true, true);
    }

    private static Tensor resize(Compute compute, Tensor image, double scale, boolean antialias, boolean uint8) {
        if (image.shape().rank() != 3) {
            throw new IllegalArgumentException("an image is [H, W, C], not " + image.shape());
        }
        int channels = image.dim(2);
        ResizeWeights vertical = ResizeWeights.of(image.dim(0), scale, antialias);
        ResizeWeights horizontal = ResizeWeights.of(image.dim(1), scale, antialias);
        Tensor out = Tensor.zeros(vertical.outputs(), horizontal.outputs(), channels);
        float[] to = out.array();
        compute.forEachRange(vertical.outputs(), (first, end) -> {
            double[] row = new double[image.dim(1) * channels];
            double[] result = new double[horizontal.outputs() * channels];
            for (int y = first; y < end; y++) {
                vertical.combineRows(y, image.array(), image.offset(), row);
                if (uint8) {
                    roundAndClip(row);
                }
                horizontal.resampleRow(row, channels, result);
                if (uint8) {
                    roundAndClip(result);
                }
                int at = y * result.length;
                for (int i = 0; i < result.length; i++) {
                    to[at + i] = (float) result[i];
                }
            }
        });
        return out;
    }

    private static void roundAndClip(double[] values) {
        for (int i = 0; i < values.length; i++) {
            values[i] = Math.floor(Math.min(Math.max(values[i], 0), 255) + 0.5);
        }
    }
}
