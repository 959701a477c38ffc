// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/**
 * An image with alpha whose visible colours have spread a few pixels into what is fully transparent. There the file may say anything,
 * usually black, and whatever reads colours without looking at alpha (a network, an interpolation) would draw it as a fringe around
 * every shape.
 */
final class BledRows implements ImageRows {
    /** How far colours spread, in pixels: what is further away hardly shows through a network, and not at all through a resize. */
    private static final int REACH = 8;

    private final ImageRows source;
    private final ImageHeader header;
    private final Spread spread;
    private final float[] weighted;

    BledRows(ImageRows source) {
        this.source = source;
        this.header = source.header();
        if (!header.channels().alpha()) {
            throw new IllegalArgumentException("an image without alpha has nothing to bleed into");
        }
        Spread last = null;
        for (int i = 0; i < REACH; i++) {
            last = new Spread(last);
        }
        this.spread = last == null ? new Spread(null) : last;
        this.weighted = new float[header.width() * (header.channels().count() + 1)];
    }

    @Override
    public ImageHeader header() {
        return header;
    }

    @Override
    public void next(float[] row) throws IOException {
        int count = header.channels().count();
        spread.next(weighted);
        for (int x = 0; x < header.width(); x++) {
            System.arraycopy(weighted, x * (count + 1), row, x * count, count);
        }
    }

    @Override
    public void close() throws IOException {
        source.close();
    }

    /**
     * One step: every pixel without weight becomes the weighted mean of the eight around it. A pixel of a weighted row has its samples
     * and a weight, which is its alpha at first.
     */
    private final class Spread {
        private final @Nullable Spread before;
        private final int count = header.channels().count();
        private final float[] plain = new float[header.rowSize()];
        private final float[][] rows = new float[3][header.width() * (count + 1)];
        private int read;
        private int given;

        Spread(@Nullable Spread before) {
            this.before = before;
        }

        void next(float[] to) throws IOException {
            while (read < header.height() && read < given + 2) {
                read(rows[read % 3]);
                read++;
            }
            float[] here = rows[given % 3];
            System.arraycopy(here, 0, to, 0, here.length);
            for (int x = 0; x < header.width(); x++) {
                if (here[x * (count + 1) + count] == 0) {
                    fill(x, to);
                }
            }
            given++;
        }

        private void read(float[] row) throws IOException {
            if (before != null) {
                before.next(row);
                return;
            }
            source.next(plain);
            for (int x = 0; x < header.width(); x++) {
                System.arraycopy(plain, x * count, row, x * (count + 1), count);
                row[x * (count + 1) + count] = plain[x * count + count - 1];
            }
        }

        private void fill(int x, float[] to) {
            int at = x * (count + 1);
            int colours = count - 1;
            float weight = 0;
            int neighbours = 0;
            float[] sum = new float[colours];
            for (int y = Math.max(0, given - 1); y < Math.min(read, given + 2); y++) {
                float[] row = rows[y % 3];
                for (int i = Math.max(0, x - 1); i < Math.min(header.width(), x + 2); i++) {
                    float w = row[i * (count + 1) + count];
                    if (w > 0) {
                        weight += w;
                        neighbours++;
                        for (int c = 0; c < colours; c++) {
                            sum[c] += w * row[i * (count + 1) + c];
                        }
                    }
                }
            }
            if (neighbours > 0) {
                for (int c = 0; c < colours; c++) {
                    to[at + c] = sum[c] / weight;
                }
                to[at + count] = weight / neighbours;
            }
        }
    }
}
