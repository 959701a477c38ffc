// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/**
 * A whole image in memory.
 *
 * @param rgb {@code [H, W, 3]}, 0..255; grey repeated
 * @param alpha {@code [H, W, 1]}, 0..255, or null without transparency
 */
public record DecodedImage(Tensor rgb, @Nullable Tensor alpha) {
    /** More pixels than this do not fit a tensor of three channels. */
    static final long MAX_PIXELS = Integer.MAX_VALUE / 3;

    /** Checks the shapes. */
    public DecodedImage {
        Shape shape = rgb.shape();
        if (shape.rank() != 3
                || shape.dim(2) != 3
                || (alpha != null && !alpha.shape().equals(shape.with(2, 1)))) {
            throw new IllegalArgumentException("a picture is [H, W, 3] and its alpha [H, W, 1], not " + shape
                    + (alpha == null ? "" : " and " + alpha.shape()));
        }
    }

    /** Reads all rows of an image. */
    static DecodedImage of(ImageRows rows) throws IOException {
        ImageHeader header = rows.header();
        int colours = header.channels().colours();
        int count = header.channels().count();
        int pixels = header.width() * header.height();
        float[] row = new float[header.rowSize()];
        float[] rgb = new float[3 * pixels];
        float[] alpha = header.channels().alpha() ? new float[pixels] : null;
        for (int pixel = 0; pixel < pixels; ) {
            rows.next(row);
            for (int at = 0; at < row.length; at += count, pixel++) {
                for (int c = 0; c < 3; c++) {
                    rgb[3 * pixel + c] = row[at + Math.min(c, colours - 1)];
                }
                if (alpha != null) {
                    alpha[pixel] = row[at + colours];
                }
            }
        }
        return new DecodedImage(
                Tensor.of(rgb, header.height(), header.width(), 3),
                alpha == null ? null : Tensor.of(alpha, header.height(), header.width(), 1));
    }

    /** Returns the image row by row, as one of 8 bits per sample. */
    public ImageRows rows() {
        Channels channels = Channels.of(false, alpha != null);
        ImageHeader header = new ImageHeader(rgb.dim(1), rgb.dim(0), channels, 8, ColourTags.NONE);
        return new ImageRows() {
            private int pixel;

            @Override
            public ImageHeader header() {
                return header;
            }

            @Override
            public void next(float[] row) {
                if (pixel == header.width() * header.height()) {
                    throw new IllegalStateException("there are no more rows");
                }
                for (int at = 0; at < header.rowSize(); pixel++) {
                    for (int c = 0; c < 3; c++) {
                        row[at++] = rgb.array()[rgb.offset() + 3 * pixel + c];
                    }
                    if (alpha != null) {
                        row[at++] = alpha.array()[alpha.offset() + pixel];
                    }
                }
            }
        };
    }
}
