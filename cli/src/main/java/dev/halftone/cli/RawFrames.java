// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.image.Channels;
import dev.halftone.models.image.ColourTags;
import dev.halftone.models.image.ImageHeader;
import dev.halftone.models.image.ImageRows;
import dev.halftone.tensor.io.InvalidFileException;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/**
 * Pictures of one size as bare samples, one after the other: what ffmpeg calls {@code rawvideo}.
 *
 * @param pixels how a pixel is stored
 */
record RawFrames(Pixels pixels, int width, int height) {
    /** How a pixel is stored, by ffmpeg's names. */
    enum Pixels {
        GRAY(Channels.GREY, 8),
        GRAY16LE(Channels.GREY, 16),
        RGB24(Channels.RGB, 8),
        RGB48LE(Channels.RGB, 16),
        RGBA(Channels.RGB_ALPHA, 8),
        RGBA64LE(Channels.RGB_ALPHA, 16);

        private final Channels channels;
        private final int depth;

        Pixels(Channels channels, int depth) {
            this.channels = channels;
            this.depth = depth;
        }

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** Reads {@code rgb24:640x480}. */
    static final class Converter implements ITypeConverter<RawFrames> {
        private static final Pattern FORM = Pattern.compile("(\\w+):(\\d{1,5})x(\\d{1,5})");

        @Override
        public RawFrames convert(String text) {
            Matcher form = FORM.matcher(text);
            if (form.matches()) {
                for (Pixels pixels : Pixels.values()) {
                    int width = Integer.parseInt(form.group(2));
                    int height = Integer.parseInt(form.group(3));
                    if (pixels.toString().equals(form.group(1)) && width > 0 && height > 0) {
                        return new RawFrames(pixels, width, height);
                    }
                }
            }
            throw new TypeConversionException("'" + text
                    + "' is not PIXELS:WIDTHxHEIGHT, for example rgb24:640x480; PIXELS is "
                    + Arrays.stream(Pixels.values()).map(Pixels::toString).collect(Collectors.joining(", ")));
        }
    }

    /** Returns the header of every frame. */
    ImageHeader header() {
        return new ImageHeader(width, height, pixels.channels, pixels.depth, ColourTags.NONE);
    }

    /**
     * Returns the rows of a frame whose first byte has been read already.
     *
     * @param number counts from 1, for the error of a frame that is cut off
     */
    ImageRows read(int firstByte, InputStream in, Path name, long number) {
        ImageHeader header = header();
        byte[] line = new byte[header.rowSize() * header.depth() / 8];
        return new ImageRows() {
            private boolean started;

            @Override
            public ImageHeader header() {
                return header;
            }

            @Override
            public void next(float[] row) throws IOException {
                int from = started ? 0 : 1;
                line[0] = started ? line[0] : (byte) firstByte;
                started = true;
                if (in.readNBytes(line, from, line.length - from) < line.length - from) {
                    throw new InvalidFileException(name, "ends inside frame " + number, new EOFException());
                }
                for (int i = 0; i < row.length; i++) {
                    row[i] = header.depth() == 8
                            ? line[i] & 0xFF
                            : ((line[2 * i] & 0xFF) | ((line[2 * i + 1] & 0xFF) << 8)) / 257f;
                }
            }
        };
    }

    /** Writes the rows of a frame of any size; samples are clamped and rounded, half to even. */
    static void write(ImageRows rows, OutputStream out) throws IOException {
        ImageHeader header = rows.header();
        float[] row = new float[header.rowSize()];
        byte[] line = new byte[row.length * header.depth() / 8];
        for (int y = 0; y < header.height(); y++) {
            rows.next(row);
            for (int i = 0; i < row.length; i++) {
                float v = Math.clamp(row[i], 0f, 255f);
                if (header.depth() == 8) {
                    line[i] = (byte) Math.rint(v);
                } else {
                    int sample = (int) Math.rint(v * 257);
                    line[2 * i] = (byte) sample;
                    line[2 * i + 1] = (byte) (sample >> 8);
                }
            }
            out.write(line);
        }
        out.flush();
    }
}
