// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.zip.CRC32;
import java.util.zip.DeflaterOutputStream;

/** Writes PNG files of every kind, after the specification (ISO/IEC 15948), for tests that must not ask the JDK's encoder. */
final class PngBuilder {
    static final int GREY = 0;
    static final int RGB = 2;
    static final int PALETTE = 3;
    static final int GREY_ALPHA = 4;
    static final int RGB_ALPHA = 6;

    /** Start and step in x and y of the seven passes of Adam7. */
    private static final int[][] ADAM7 = {
        {0, 8, 0, 8}, {4, 8, 0, 8}, {0, 4, 4, 8}, {2, 4, 0, 4}, {0, 2, 2, 4}, {1, 2, 0, 2}, {0, 1, 1, 2}
    };

    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

    PngBuilder() {
        raw(new byte[] {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'});
    }

    /** Returns the number of samples per pixel of a colour type. */
    static int samples(int colourType) {
        return switch (colourType) {
            case RGB -> 3;
            case GREY_ALPHA -> 2;
            case RGB_ALPHA -> 4;
            default -> 1;
        };
    }

    PngBuilder header(int width, int height, int depth, int colourType, boolean interlaced) {
        ByteArrayOutputStream data = new ByteArrayOutputStream();
        bigEndian(data, width, 4);
        bigEndian(data, height, 4);
        data.write(depth);
        data.write(colourType);
        data.write(0);
        data.write(0);
        data.write(interlaced ? 1 : 0);
        return chunk("IHDR", data.toByteArray());
    }

    /** Adds a chunk whose data are 16-bit numbers. */
    PngBuilder shorts(String type, int... values) {
        ByteArrayOutputStream data = new ByteArrayOutputStream();
        for (int v : values) {
            bigEndian(data, v, 2);
        }
        return chunk(type, data.toByteArray());
    }

    /** Adds the pixels: {@code samples[y][x * samplesPerPixel + s]}, unfiltered. */
    PngBuilder pixels(int[][] samples, int perPixel, int depth, boolean interlaced) {
        ByteArrayOutputStream data = new ByteArrayOutputStream();
        int height = samples.length;
        int width = samples[0].length / perPixel;
        for (int[] pass : interlaced ? ADAM7 : new int[][] {{0, 1, 0, 1}}) {
            for (int y = pass[2]; y < height && pass[0] < width; y += pass[3]) {
                data.write(0);
                int bits = 0;
                int held = 0;
                for (int x = pass[0]; x < width; x += pass[1]) {
                    for (int s = 0; s < perPixel; s++) {
                        int v = samples[y][x * perPixel + s];
                        if (depth >= 8) {
                            bigEndian(data, v, depth / 8);
                            continue;
                        }
                        bits = (bits << depth) | v;
                        held += depth;
                        if (held == 8) {
                            data.write(bits);
                            bits = 0;
                            held = 0;
                        }
                    }
                }
                if (held > 0) {
                    data.write(bits << (8 - held));
                }
            }
        }
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        try (DeflaterOutputStream deflater = new DeflaterOutputStream(packed)) {
            data.writeTo(deflater);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return chunk("IDAT", packed.toByteArray());
    }

    PngBuilder chunk(String type, byte[] data) {
        byte[] name = type.getBytes(StandardCharsets.ISO_8859_1);
        CRC32 crc = new CRC32();
        crc.update(name);
        crc.update(data);
        return chunk(type, data, (int) crc.getValue());
    }

    PngBuilder chunk(String type, byte[] data, int checksum) {
        bigEndian(bytes, data.length, 4);
        raw(type.getBytes(StandardCharsets.ISO_8859_1));
        raw(data);
        bigEndian(bytes, checksum, 4);
        return this;
    }

    byte[] end() {
        chunk("IEND", new byte[0]);
        return bytes.toByteArray();
    }

    private void raw(byte[] data) {
        bytes.writeBytes(data);
    }

    private static void bigEndian(ByteArrayOutputStream to, int value, int count) {
        for (int i = count - 1; i >= 0; i--) {
            to.write(value >>> (8 * i));
        }
    }
}
