// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import java.io.IOException;

/**
 * An image that comes row by row, from top to bottom: what decoders give, what encoders take, and what every step between makes of
 * another, so that no step needs to hold the whole image.
 *
 * <p>Samples are 0..255 whatever the {@link ImageHeader#depth()} (16-bit samples are divided by 257), colours as they are stored and
 * not multiplied by alpha. Steps may go beyond 0..255; encoders clamp. Not thread-safe.
 */
public interface ImageRows extends AutoCloseable {
    /** Returns the size and kind of the image. */
    ImageHeader header();

    /**
     * Fills {@code row} with the next row: {@link ImageHeader#rowSize()} samples, interleaved.
     *
     * @throws IOException if the image cannot be read on; it is not to be used any more then
     * @throws IllegalStateException if there are no more rows
     */
    void next(float[] row) throws IOException;

    /** Returns these rows as an image that is written with 8 or 16 bits per sample. */
    default ImageRows withDepth(int depth) {
        ImageRows rows = this;
        ImageHeader header = header().withDepth(depth);
        return new ImageRows() {
            @Override
            public ImageHeader header() {
                return header;
            }

            @Override
            public void next(float[] row) throws IOException {
                rows.next(row);
            }

            @Override
            public void close() throws IOException {
                rows.close();
            }
        };
    }

    /** Releases what the image is read from. */
    @Override
    default void close() throws IOException {}
}
