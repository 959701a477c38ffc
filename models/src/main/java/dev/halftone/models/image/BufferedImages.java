// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import dev.halftone.tensor.Tensor;
import java.awt.image.BufferedImage;
import java.awt.image.ColorModel;
import java.awt.image.DataBuffer;
import java.awt.image.IndexColorModel;
import java.awt.image.Raster;
import org.jspecify.annotations.Nullable;

/** Conversion between {@link BufferedImage} and tensors. */
public final class BufferedImages {
    private BufferedImages() {}

    /**
     * Returns the colours of an image as {@code [H, W, 3]}, RGB, 0..255: grey is repeated, palettes are looked up, 16-bit samples are
     * divided by 257. Samples are taken as they are stored; no colour space is converted.
     */
    public static Tensor toTensor(BufferedImage image) {
        return channels(image, 3, 0);
    }

    /** Returns the alpha channel as {@code [H, W, 1]}, 0..255, or null if the image has none. */
    public static @Nullable Tensor alpha(BufferedImage image) {
        return image.getColorModel().hasAlpha() ? channels(image, 1, 3) : null;
    }

    /** Returns {@code count} of the channels R, G, B, A, from {@code first} on. */
    private static Tensor channels(BufferedImage image, int count, int first) {
        int width = image.getWidth();
        int height = image.getHeight();
        Tensor out = Tensor.zeros(height, width, count);
        float[] to = out.array();
        ColorModel model = image.getColorModel();
        Raster raster = image.getRaster();
        int type = raster.getTransferType();
        boolean plain = !(model instanceof IndexColorModel)
                && (type == DataBuffer.TYPE_BYTE || type == DataBuffer.TYPE_USHORT)
                && model.getComponentSize(0) == (type == DataBuffer.TYPE_BYTE ? 8 : 16)
                && !model.isAlphaPremultiplied();
        if (!plain) {
            // Palettes and packed pixels (TYPE_INT_RGB and the like), which getRGB unpacks without changing values.
            int[] argb = new int[width];
            for (int y = 0, at = 0; y < height; y++) {
                image.getRGB(0, y, width, 1, argb, 0, width);
                for (int x = 0; x < width; x++) {
                    for (int c = first; c < first + count; c++) {
                        to[at++] = argb[x] >>> (c == 3 ? 24 : 16 - 8 * c) & 0xFF;
                    }
                }
            }
            return out;
        }
        int bands = raster.getNumBands();
        float unit = type == DataBuffer.TYPE_BYTE ? 1 : 257;
        int[] samples = new int[width * bands];
        for (int y = 0, at = 0; y < height; y++) {
            raster.getPixels(raster.getMinX(), raster.getMinY() + y, width, 1, samples);
            for (int x = 0; x < width; x++) {
                for (int c = first; c < first + count; c++) {
                    int band = c == 3 ? bands - 1 : bands < 3 ? 0 : c;
                    to[at++] = samples[x * bands + band] / unit;
                }
            }
        }
        return out;
    }

    /** Returns an 8-bit RGB image of {@code [H, W, 3]}, whose values must be whole numbers 0..255. */
    public static BufferedImage fromTensor(Tensor rgb) {
        BufferedImage image = new BufferedImage(rgb.dim(1), rgb.dim(0), BufferedImage.TYPE_INT_RGB);
        int[] row = new int[rgb.dim(1)];
        for (int y = 0, at = rgb.offset(); y < rgb.dim(0); y++) {
            for (int x = 0; x < row.length; x++, at += 3) {
                row[x] = (int) rgb.array()[at] << 16 | (int) rgb.array()[at + 1] << 8 | (int) rgb.array()[at + 2];
            }
            image.setRGB(0, y, row.length, 1, row, 0, row.length);
        }
        return image;
    }
}
