// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

/**
 * The pixels of a whole image, in one or two bytes per sample: for images whose rows do not come in the order of the picture. Rows
 * take memory when they are first written.
 */
final class PixelStore {
    private final int columns;
    private final int samples;
    private final boolean wide;
    private final byte[][] rows;

    /** Creates the store; {@code header} gives the size, the channels and whether a sample has two bytes. */
    PixelStore(ImageHeader header) {
        this.columns = header.width();
        this.samples = header.channels().count();
        this.wide = header.depth() == 16;
        this.rows = new byte[header.height()][];
    }

    /** Stores a pixel, whose samples start at {@code from[at]}. Samples have at most the precision of the image's depth. */
    void put(int y, int x, float[] from, int at) {
        byte[] row = rows[y];
        if (row == null) {
            row = new byte[Math.multiplyExact(columns, samples * (wide ? 2 : 1))];
            rows[y] = row;
        }
        for (int s = 0; s < samples; s++) {
            if (wide) {
                int v = Pixels.uint16(from[at + s]);
                row[2 * (x * samples + s)] = (byte) (v >> 8);
                row[2 * (x * samples + s) + 1] = (byte) v;
            } else {
                row[x * samples + s] = (byte) Pixels.uint8(from[at + s]);
            }
        }
    }

    /** Fetches a pixel. */
    void get(int y, int x, float[] to, int at) {
        byte[] row = rows[y];
        for (int s = 0; s < samples; s++) {
            int i = x * samples + s;
            to[at + s] = wide ? (((row[2 * i] & 0xFF) << 8) | (row[2 * i + 1] & 0xFF)) / 257f : row[i] & 0xFF;
        }
    }
}
