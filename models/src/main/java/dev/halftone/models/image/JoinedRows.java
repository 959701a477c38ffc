// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import java.io.IOException;

/** Colours and an alpha of the same size, put together. */
final class JoinedRows implements ImageRows {
    private final ImageRows colours;
    private final ImageRows alpha;
    private final ImageHeader header;
    private final float[] colourRow;
    private final float[] alphaRow;

    JoinedRows(ImageRows colours, ImageRows alpha) {
        this.colours = colours;
        this.alpha = alpha;
        ImageHeader size = colours.header();
        if (alpha.header().width() != size.width() || alpha.header().height() != size.height()) {
            throw new IllegalArgumentException("the alpha of " + size + " is " + alpha.header());
        }
        this.header = size.withChannels(Channels.of(size.channels().grey(), true));
        this.colourRow = new float[size.rowSize()];
        this.alphaRow = new float[size.width()];
    }

    @Override
    public ImageHeader header() {
        return header;
    }

    @Override
    public void next(float[] row) throws IOException {
        colours.next(colourRow);
        alpha.next(alphaRow);
        int count = header.channels().colours();
        for (int x = 0; x < header.width(); x++) {
            System.arraycopy(colourRow, x * count, row, x * (count + 1), count);
            row[x * (count + 1) + count] = alphaRow[x];
        }
    }

    @Override
    public void close() throws IOException {
        colours.close();
        alpha.close();
    }
}
