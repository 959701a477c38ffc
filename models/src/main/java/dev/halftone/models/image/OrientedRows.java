// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** An image turned upright. It holds all pixels, because the picture's first row may be the last column of the file. */
final class OrientedRows implements ImageRows {
    private final ImageHeader header;
    private final Orientation orientation;
    private final ImageRows stored;
    private @Nullable PixelStore pixels;
    private int y;

    private OrientedRows(ImageRows stored, Orientation orientation) {
        ImageHeader flat = stored.header();
        this.header = orientation.transposes() ? flat.withSize(flat.height(), flat.width()) : flat;
        this.orientation = orientation;
        this.stored = stored;
    }

    /** Returns the picture of stored rows. */
    static ImageRows of(ImageRows stored, Orientation orientation) {
        return orientation == Orientation.TOP_LEFT ? stored : new OrientedRows(stored, orientation);
    }

    @Override
    public ImageHeader header() {
        return header;
    }

    @Override
    public void next(float[] row) throws IOException {
        if (y == header.height()) {
            throw new IllegalStateException("there are no more rows");
        }
        PixelStore all = pixels;
        if (all == null) {
            all = readAll();
            pixels = all;
        }
        int samples = header.channels().count();
        int fromTop = orientation.upsideDown() ? header.height() - 1 - y : y;
        for (int x = 0; x < header.width(); x++) {
            int fromLeft = orientation.mirrored() ? header.width() - 1 - x : x;
            if (orientation.transposes()) {
                all.get(fromLeft, fromTop, row, x * samples);
            } else {
                all.get(fromTop, fromLeft, row, x * samples);
            }
        }
        y++;
    }

    private PixelStore readAll() throws IOException {
        ImageHeader flat = stored.header();
        PixelStore all = new PixelStore(flat);
        float[] row = new float[flat.rowSize()];
        for (int r = 0; r < flat.height(); r++) {
            stored.next(row);
            for (int x = 0; x < flat.width(); x++) {
                all.put(r, x, row, x * flat.channels().count());
            }
        }
        return all;
    }

    @Override
    public void close() throws IOException {
        stored.close();
    }
}
