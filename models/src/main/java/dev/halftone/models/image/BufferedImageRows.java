// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import java.awt.Transparency;
import java.awt.color.ColorSpace;
import java.awt.color.ICC_ColorSpace;
import java.awt.image.BufferedImage;
import java.awt.image.ColorModel;
import java.awt.image.DataBuffer;
import java.awt.image.IndexColorModel;
import java.awt.image.Raster;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The rows of a {@link BufferedImage}.
 *
 * <p>RGB and grey samples are taken as they are stored, whatever profile they carry: {@link BufferedImage#getRGB} would apply a gamma
 * curve to grey images. Palettes are looked up (one of greys gives a grey image) and premultiplied colours divided by their alpha.
 * Only images of other colour spaces (CMYK, floating point) are converted to sRGB. Samples of up to 8 bits give whole numbers.
 */
final class BufferedImageRows implements ImageRows {
    private final BufferedImage image;
    private final ColorModel model;
    private final Raster raster;
    private final boolean plain;
    private final ImageHeader header;
    private final int[] samples;
    private int y;

    /** Takes the tags from the image's colour space. */
    BufferedImageRows(BufferedImage image) {
        this(image, null);
    }

    /** Takes the tags as given, or from the image's colour space if null. */
    BufferedImageRows(BufferedImage image, @Nullable ColourTags tags) {
        this.image = image;
        model = image.getColorModel();
        raster = image.getRaster();
        plain = !(model instanceof IndexColorModel) && hasPlainSamples(model, raster);
        boolean grey = model instanceof IndexColorModel palette
                ? isGrey(palette)
                : plain && model.getColorSpace().getType() == ColorSpace.TYPE_GRAY;
        boolean alpha = model.hasAlpha() && (plain || model.getTransparency() != Transparency.OPAQUE);
        Channels channels = Channels.of(grey, alpha);
        int bits = Arrays.stream(model.getComponentSize()).max().orElse(Byte.SIZE);
        ColourTags meant = tags != null ? tags : ColourTags.ofProfile(profile());
        header = new ImageHeader(
                image.getWidth(),
                image.getHeight(),
                channels,
                plain && bits > Byte.SIZE ? 16 : 8,
                plain ? meant.fitting(channels) : ColourTags.NONE);
        samples = new int[image.getWidth() * (plain ? raster.getNumBands() : 1)];
    }

    private static boolean hasPlainSamples(ColorModel model, Raster raster) {
        int space = model.getColorSpace().getType();
        int type = raster.getTransferType();
        return (space == ColorSpace.TYPE_RGB || space == ColorSpace.TYPE_GRAY)
                && (type == DataBuffer.TYPE_BYTE || type == DataBuffer.TYPE_USHORT || type == DataBuffer.TYPE_INT)
                && Arrays.stream(model.getComponentSize()).allMatch(bits -> bits > 0 && bits <= Short.SIZE);
    }

    private static boolean isGrey(IndexColorModel palette) {
        for (int i = 0; i < palette.getMapSize(); i++) {
            if (palette.isValid(i)
                    && (palette.getRed(i) != palette.getGreen(i) || palette.getRed(i) != palette.getBlue(i))) {
                return false;
            }
        }
        return true;
    }

    /** Returns the profile of the colour space unless it is what Java assumes of images that say nothing. */
    private byte @Nullable [] profile() {
        ColorSpace space = model.getColorSpace();
        return space instanceof ICC_ColorSpace icc
                        && !space.isCS_sRGB()
                        && !space.equals(ColorSpace.getInstance(ColorSpace.CS_GRAY))
                ? icc.getProfile().getData()
                : null;
    }

    @Override
    public ImageHeader header() {
        return header;
    }

    @Override
    public void next(float[] row) {
        if (y == header.height()) {
            throw new IllegalStateException("there are no more rows");
        }
        if (plain) {
            fromSamples(row);
        } else {
            fromColours(row);
        }
        y++;
    }

    private void fromColours(float[] row) {
        image.getRGB(0, y, samples.length, 1, samples, 0, samples.length);
        int at = 0;
        for (int argb : samples) {
            for (int c = 0; c < header.channels().colours(); c++) {
                row[at++] = argb >>> (16 - 8 * c) & 0xFF;
            }
            if (header.channels().alpha()) {
                row[at++] = argb >>> 24;
            }
        }
    }

    private void fromSamples(float[] row) {
        int bands = raster.getNumBands();
        int colours = header.channels().colours();
        int count = header.channels().count();
        float[] largest = new float[count];
        boolean[] whole = new boolean[count];
        for (int c = 0; c < count; c++) {
            int bits = model.getComponentSize(c);
            largest[c] = (1 << bits) - 1;
            whole[c] = bits <= Byte.SIZE;
        }
        boolean premultiplied = model.hasAlpha() && model.isAlphaPremultiplied();
        raster.getPixels(0, y, image.getWidth(), 1, samples);
        int at = 0;
        for (int pixel = 0; pixel < samples.length; pixel += bands) {
            for (int c = 0; c < count; c++) {
                float v = samples[pixel + c] * 255f / largest[c];
                if (premultiplied && c < colours) {
                    int alpha = samples[pixel + colours];
                    v = alpha == 0 ? 0 : Math.min(v * largest[colours] / alpha, 255);
                }
                row[at++] = whole[c] ? (float) Math.rint(v) : v;
            }
        }
    }
}
