// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import dev.halftone.tensor.Tensor;
import java.awt.Transparency;
import java.awt.color.ColorSpace;
import java.awt.color.ICC_ColorSpace;
import java.awt.color.ICC_Profile;
import java.awt.image.BufferedImage;
import java.awt.image.ColorModel;
import java.awt.image.ComponentColorModel;
import java.awt.image.DataBuffer;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.jspecify.annotations.Nullable;

/** Conversion between {@link BufferedImage}, rows and tensors. */
public final class BufferedImages {
    private BufferedImages() {}

    /**
     * Returns the rows of an image.
     *
     * <p>RGB and grey samples are taken as they are stored, whatever profile they carry. Palettes are looked up and premultiplied
     * colours divided by their alpha. Only images of other colour spaces (CMYK, floating point) are converted to sRGB.
     */
    public static ImageRows rows(BufferedImage image) {
        return new BufferedImageRows(image);
    }

    /**
     * Reads all rows into an image of 8 or 16 bits per sample, grey or RGB, with alpha (not premultiplied) or without, in the colour
     * space of its ICC profile. Samples are clamped and rounded, half to even.
     *
     * @throws IOException if the rows cannot be read, or are more than a {@link BufferedImage} holds
     */
    public static BufferedImage of(ImageRows rows) throws IOException {
        return of(rows, colourSpace(rows.header()));
    }

    /** Reads all rows into an image in a colour space; null is that of images which say nothing. */
    static BufferedImage of(ImageRows rows, @Nullable ColorSpace space) throws IOException {
        ImageHeader header = rows.header();
        if ((long) header.rowSize() * header.height() > Integer.MAX_VALUE - Byte.MAX_VALUE) {
            throw new IOException(header.width() + "x" + header.height()
                    + " pixels are more than fit in memory in one piece; a PNG file is written row by row");
        }
        BufferedImage image = create(header, space);
        float[] row = new float[header.rowSize()];
        int[] samples = new int[row.length];
        for (int y = 0; y < header.height(); y++) {
            rows.next(row);
            for (int i = 0; i < row.length; i++) {
                samples[i] = header.depth() == 16 ? Pixels.uint16(row[i]) : Pixels.uint8(row[i]);
            }
            image.getRaster().setPixels(0, y, header.width(), 1, samples);
        }
        return image;
    }

    private static BufferedImage create(ImageHeader header, @Nullable ColorSpace space) {
        Channels channels = header.channels();
        if (header.depth() == 8 && space == null && channels != Channels.GREY_ALPHA) {
            // Of the types that Java's own drawing is fast on.
            return new BufferedImage(
                    header.width(),
                    header.height(),
                    switch (channels) {
                        case GREY -> BufferedImage.TYPE_BYTE_GRAY;
                        case RGB -> BufferedImage.TYPE_3BYTE_BGR;
                        default -> BufferedImage.TYPE_4BYTE_ABGR;
                    });
        }
        ColorModel model = new ComponentColorModel(
                space != null
                        ? space
                        : ColorSpace.getInstance(channels.grey() ? ColorSpace.CS_GRAY : ColorSpace.CS_sRGB),
                channels.alpha(),
                false,
                channels.alpha() ? Transparency.TRANSLUCENT : Transparency.OPAQUE,
                header.depth() == 16 ? DataBuffer.TYPE_USHORT : DataBuffer.TYPE_BYTE);
        return new BufferedImage(
                model, model.createCompatibleWritableRaster(header.width(), header.height()), false, null);
    }

    private static @Nullable ColorSpace colourSpace(ImageHeader header) {
        byte[] profile = header.tags().fitting(header.channels()).iccProfile();
        if (profile == null) {
            return null;
        }
        try {
            return new ICC_ColorSpace(ICC_Profile.getInstance(profile));
        } catch (IllegalArgumentException e) {
            return null; // a damaged profile says nothing
        }
    }

    /**
     * Returns the colours of an image as {@code [H, W, 3]}, RGB 0..255, grey as three equal channels, without alpha. Samples of up to 8
     * bits give whole numbers; 16-bit samples are divided by 257.
     */
    public static Tensor toTensor(BufferedImage image) {
        return decode(image).rgb();
    }

    /** Returns the colours and the alpha of an image. */
    public static DecodedImage decode(BufferedImage image) {
        try {
            return DecodedImage.of(rows(image));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Returns an 8-bit image of {@code [H, W, 3]}, RGB 0..255; values are clamped and rounded, half to even. */
    public static BufferedImage fromTensor(Tensor rgb) {
        return encode(new DecodedImage(rgb, null));
    }

    /** Returns an 8-bit image; values are clamped and rounded, half to even. */
    public static BufferedImage encode(DecodedImage image) {
        try {
            return of(image.rows());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
