// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import dev.halftone.tensor.Tensor;

/** Cropping and rounding of images {@code [H, W, C]}. */
public final class Pixels {
    private Pixels() {}

    /** Returns a copy with every value clamped to 0..255 and rounded to a whole number, half to even; NaN becomes 0. */
    public static Tensor toUint8(Tensor image) {
        Tensor rounded = image.copy();
        float[] v = rounded.array();
        for (int i = 0; i < v.length; i++) {
            v[i] = Float.isNaN(v[i]) ? 0 : (float) Math.rint(Math.clamp(v[i], 0f, 255f));
        }
        return rounded;
    }

    /** Returns a copy of a rectangle. */
    public static Tensor crop(Tensor image, int top, int left, int height, int width) {
        if (top < 0 || left < 0 || height < 0 || width < 0 || top + height > image.dim(0) || left + width > image.dim(1)) {
            throw new IllegalArgumentException(
                    "no " + height + "x" + width + " at (" + top + ", " + left + ") in an image " + image.shape());
        }
        int channels = image.dim(2);
        Tensor out = Tensor.zeros(height, width, channels);
        for (int y = 0; y < height; y++) {
            System.arraycopy(
                    image.array(),
                    image.offset() + ((top + y) * image.dim(1) + left) * channels,
                    out.array(),
                    y * width * channels,
                    width * channels);
        }
        return out;
    }

    /** Returns the image cropped at the bottom and right to multiples of {@code scale}. */
    public static Tensor modCrop(Tensor image, int scale) {
        return crop(image, 0, 0, image.dim(0) / scale * scale, image.dim(1) / scale * scale);
    }
}
