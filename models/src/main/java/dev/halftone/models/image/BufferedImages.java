// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import dev.halftone.tensor.Tensor;
import java.awt.color.ColorSpace;
import java.awt.image.BufferedImage;
import java.awt.image.ColorModel;
import java.awt.image.DataBuffer;
import java.awt.image.DataBufferByte;
import java.awt.image.IndexColorModel;
import java.awt.image.Raster;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Conversion between {@link BufferedImage} and tensors.
 *
 * <p>RGB and grey samples are taken as they are stored, whatever profile they carry: {@link BufferedImage#getRGB} would apply a gamma
 * curve to grey images. Palettes are looked up and premultiplied colours divided by their alpha. Only images of other colour
 * spaces (CMYK, floating point) are converted to sRGB.
 */
public final class BufferedImages {
    private static final int ALPHA = 3;

    private BufferedImages() {}

    /**
     * Returns the colours of an image as {@code [H, W, 3]}, RGB 0..255, grey as three equal channels. Samples of up to 8 bits give whole
     * numbers; 16-bit samples are divided by 257.
     */
    public static Tensor toTensor(BufferedImage image) {
        return channels(image, 0, 3);
    }

    /** Returns the alpha channel as {@code [H, W, 1]}, 0 (transparent) to 255 (opaque), or null if the image has none. */
    public static @Nullable Tensor alpha(BufferedImage image) {
        return image.getColorModel().hasAlpha() ? channels(image, ALPHA, 1) : null;
    }

    /** Returns {@code count} of the channels R, G, B, A, from {@code first} on. */
    private static Tensor channels(BufferedImage image, int first, int count) {
        Tensor out = Tensor.zeros(image.getHeight(), image.getWidth(), count);
        ColorModel model = image.getColorModel();
        if (model instanceof IndexColorModel || !hasPlainSamples(model, image.getRaster())) {
            fromColours(image, first, out);
        } else {
            fromSamples(image, first, out);
        }
        return out;
    }

    private static boolean hasPlainSamples(ColorModel model, Raster raster) {
        int space = model.getColorSpace().getType();
        int type = raster.getTransferType();
        return (space == ColorSpace.TYPE_RGB || space == ColorSpace.TYPE_GRAY)
                && (type == DataBuffer.TYPE_BYTE || type == DataBuffer.TYPE_USHORT || type == DataBuffer.TYPE_INT)
                && Arrays.stream(model.getComponentSize()).allMatch(bits -> bits <= Short.SIZE);
    }

    private static void fromColours(BufferedImage image, int first, Tensor out) {
        int[] argb = new int[image.getWidth()];
        int count = out.dim(2);
        for (int y = 0, at = 0; y < image.getHeight(); y++) {
            image.getRGB(0, y, argb.length, 1, argb, 0, argb.length);
            for (int pixel : argb) {
                for (int c = first; c < first + count; c++) {
                    out.array()[at++] = pixel >>> (c == ALPHA ? 24 : 16 - 8 * c) & 0xFF;
                }
            }
        }
    }

    private static void fromSamples(BufferedImage image, int first, Tensor out) {
        ColorModel model = image.getColorModel();
        Raster raster = image.getRaster();
        int bands = raster.getNumBands();
        int colours = model.getNumColorComponents();
        int count = out.dim(2);
        int[] band = new int[count];
        float[] largest = new float[count];
        boolean[] whole = new boolean[count];
        for (int c = 0; c < count; c++) {
            band[c] = first == ALPHA ? colours : Math.min(c, colours - 1);
            int bits = model.getComponentSize(band[c]);
            largest[c] = (1 << bits) - 1;
            whole[c] = bits <= Byte.SIZE;
        }
        boolean premultiplied = model.isAlphaPremultiplied() && model.hasAlpha() && first != ALPHA;
        float opaque = premultiplied ? (1 << model.getComponentSize(colours)) - 1 : 1;
        int[] samples = new int[image.getWidth() * bands];
        for (int y = 0, at = 0; y < image.getHeight(); y++) {
            raster.getPixels(0, y, image.getWidth(), 1, samples);
            for (int pixel = 0; pixel < samples.length; pixel += bands) {
                for (int c = 0; c < count; c++) {
                    float v = samples[pixel + band[c]] * 255f / largest[c];
                    if (premultiplied) {
                        int alpha = samples[pixel + colours];
                        v = alpha == 0 ? 0 : Math.min(v * opaque / alpha, 255);
                    }
                    out.array()[at++] = whole[c] ? (float) Math.rint(v) : v;
                }
            }
        }
    }

    /** Returns an 8-bit image of {@code [H, W, 3]}, RGB 0..255; values are clamped and rounded, half to even. */
    public static BufferedImage fromTensor(Tensor rgb) {
        return fromTensor(rgb, null);
    }

    /**
     * Returns an 8-bit image of {@code [H, W, 3]}, RGB 0..255, and {@code [H, W, 1]}, alpha 0..255 (not premultiplied), or null for an
     * opaque image; values are clamped and rounded, half to even.
     */
    public static BufferedImage fromTensor(Tensor rgb, @Nullable Tensor alpha) {
        int height = rgb.dim(0);
        int width = rgb.dim(1);
        if (rgb.shape().rank() != 3
                || rgb.dim(2) != 3
                || (alpha != null && !alpha.shape().equals(rgb.shape().with(2, 1)))) {
            throw new IllegalArgumentException("a picture is [H, W, 3] and its alpha [H, W, 1], not " + rgb.shape()
                    + (alpha == null ? "" : " and " + alpha.shape()));
        }
        BufferedImage image = new BufferedImage(
                width, height, alpha == null ? BufferedImage.TYPE_3BYTE_BGR : BufferedImage.TYPE_4BYTE_ABGR);
        byte[] bytes = ((DataBufferByte) image.getRaster().getDataBuffer()).getData();
        for (int pixel = 0, at = 0; pixel < width * height; pixel++) {
            if (alpha != null) {
                bytes[at++] = (byte) Pixels.uint8(alpha.array()[alpha.offset() + pixel]);
            }
            int from = rgb.offset() + 3 * pixel;
            bytes[at++] = (byte) Pixels.uint8(rgb.array()[from + 2]);
            bytes[at++] = (byte) Pixels.uint8(rgb.array()[from + 1]);
            bytes[at++] = (byte) Pixels.uint8(rgb.array()[from]);
        }
        return image;
    }
}
