// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import dev.halftone.tensor.Tensor;

/** Cropping and rounding of images {@code [H, W, C]}. */
public final class Pixels {
    private Pixels() {}

    /**
     * Returns a copy with every value clamped to 0..255 and rounded to a whole number, half to even.
     *
     * @throws IllegalArgumentException if a value is NaN, which no picture shows
     */
    public static Tensor toUint8(Tensor image) {
        Tensor rounded = Tensor.zeros(image.shape());
        float[] to = rounded.array();
        for (int i = 0; i < to.length; i++) {
            to[i] = uint8(image.array()[image.offset() + i]);
        }
        return rounded;
    }

    /** Returns {@code value} clamped to 0..255 and rounded, half to even. */
    static int uint8(float value) {
        if (Float.isNaN(value)) {
            throw new IllegalArgumentException("an image has the value NaN");
        }
        return (int) Math.rint(Math.clamp(value, 0f, 255f));
    }

    /** Returns {@code value}, which is 0..255 with a fraction, as 0..65535: clamped and rounded, half to even. */
    static int uint16(float value) {
        if (Float.isNaN(value)) {
            throw new IllegalArgumentException("an image has the value NaN");
        }
        return (int) Math.rint(Math.clamp(value, 0f, 255f) * 257);
    }

    /**
     * Returns a copy of a rectangle.
     *
     * @throws IllegalArgumentException if it is not inside the image
     */
    public static Tensor crop(Tensor image, int top, int left, int height, int width) {
        if (image.shape().rank() != 3
                || top < 0
                || left < 0
                || height < 0
                || width < 0
                || top > image.dim(0) - height
                || left > image.dim(1) - width) {
            throw new IllegalArgumentException("no " + height + "x" + width + " pixels at (" + top + ", " + left
                    + ") in an image " + image.shape());
        }
        int channels = image.dim(2);
        Tensor out = Tensor.zeros(height, width, channels);
        for (int y = 0; y < height; y++) {
            int from = image.offset() + ((top + y) * image.dim(1) + left) * channels;
            System.arraycopy(image.array(), from, out.array(), y * width * channels, width * channels);
        }
        return out;
    }

    /** Returns the image cropped at the bottom and at the right to multiples of {@code scale}. */
    public static Tensor modCrop(Tensor image, int scale) {
        if (image.shape().rank() != 3 || scale < 1 || image.dim(0) < scale || image.dim(1) < scale) {
            throw new IllegalArgumentException(
                    "an image " + image.shape() + " has no multiple of " + scale + " pixels");
        }
        return crop(image, 0, 0, image.dim(0) / scale * scale, image.dim(1) / scale * scale);
    }
}
