// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import java.io.IOException;

/**
 * An image resized as {@link Bicubic} does, antialiased, to any size, holding no more rows than the kernel is high. For whole factors
 * the result is that of {@link Bicubic}, bit for bit.
 */
final class ResizedRows implements ImageRows {
    private final ImageRows source;
    private final ImageHeader header;
    private final ResizeWeights vertical;
    private final ResizeWeights horizontal;

    /** The latest rows; row {@code i} is at {@code i} modulo their number. */
    private final float[][] held;

    private final double[] combined;
    private final double[] result;
    private int read;
    private int y;

    private ResizedRows(ImageRows source, int width, int height) {
        ImageHeader from = source.header();
        this.source = source;
        this.header = from.withSize(width, height);
        this.vertical = ResizeWeights.of(from.height(), height);
        this.horizontal = ResizeWeights.of(from.width(), width);
        this.held = new float[Math.min(from.height(), vertical.taps())][from.rowSize()];
        this.combined = new double[from.rowSize()];
        this.result = new double[header.rowSize()];
    }

    /** Returns an image in another size. */
    static ImageRows of(ImageRows source, int width, int height) {
        return source.header().width() == width && source.header().height() == height
                ? source
                : new ResizedRows(source, width, height);
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
        for (int last = vertical.last(y); read <= last; read++) {
            source.next(held[read % held.length]);
        }
        vertical.combineRows(y, held, combined);
        horizontal.resampleRow(combined, header.channels().count(), result);
        for (int i = 0; i < result.length; i++) {
            row[i] = (float) result[i];
        }
        y++;
    }

    @Override
    public void close() throws IOException {
        source.close();
    }
}
