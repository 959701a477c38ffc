// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import dev.halftone.models.image.Channels;
import dev.halftone.models.image.ImageHeader;
import dev.halftone.models.image.ImageRows;
import dev.halftone.tensor.Tensor;
import java.io.IOException;

/**
 * An image upscaled by a network, one row of tiles at a time: it holds the input rows that the tiles see and the output rows that they
 * make, whatever the height of the image. The result is that of the whole image, bit for bit.
 */
final class NetworkRows implements ImageRows {
    private static final int RGB = 3;

    private final ImageRows source;
    private final Upscaler upscaler;
    private final Runnable afterTile;
    private final Tiler tiler;
    private final ImageHeader header;
    private final int inputHeight;

    /** The input rows {@code top .. top + seen.dim(0)}; all filled up to row {@code read} of the image. */
    private final Tensor seen;

    private final float[] inputRow;
    private int top;
    private int read;

    /** The output of the current row of tiles, of which {@code given} rows are out. */
    private final Tensor made;

    private int next;
    private int given;
    private int ready;

    /** {@code source} has one or three channels; {@code afterTile} runs after every tile. */
    NetworkRows(ImageRows source, Upscaler upscaler, Runnable afterTile) {
        ImageHeader input = source.header();
        this.source = source;
        this.upscaler = upscaler;
        this.afterTile = afterTile;
        this.tiler = upscaler.tiler();
        this.header = input.withSize(
                Math.multiplyExact(input.width(), tiler.scale()), Math.multiplyExact(input.height(), tiler.scale()));
        this.inputHeight = input.height();
        int rows = Math.min(input.height(), tiler.tile() + 2 * tiler.halo());
        this.seen = Tensor.zeros(rows, input.width(), RGB);
        this.inputRow = new float[input.rowSize()];
        this.made = Tensor.zeros(
                Math.min(input.height(), tiler.tile()) * tiler.scale(), input.width() * tiler.scale(), RGB);
    }

    @Override
    public ImageHeader header() {
        return header;
    }

    @Override
    public void next(float[] row) throws IOException {
        if (given == ready) {
            make();
        }
        int from = given * made.dim(1) * RGB;
        if (header.channels() == Channels.RGB) {
            System.arraycopy(made.array(), from, row, 0, row.length);
        } else {
            // Of a grey image the network makes three channels that differ a little; their mean has the least noise.
            for (int x = 0; x < row.length; x++) {
                int at = from + RGB * x;
                row[x] = (made.array()[at] + made.array()[at + 1] + made.array()[at + 2]) / RGB;
            }
        }
        given++;
    }

    private void make() throws IOException {
        if (next == inputHeight) {
            throw new IllegalStateException("there are no more rows");
        }
        int end = Math.min(inputHeight, next + tiler.tile());
        int newTop = Math.clamp(next - tiler.halo(), 0, inputHeight - seen.dim(0));
        int keep = (read - newTop) * seen.dim(1) * RGB;
        System.arraycopy(seen.array(), (newTop - top) * seen.dim(1) * RGB, seen.array(), 0, keep);
        top = newTop;
        for (; read < top + seen.dim(0); read++) {
            source.next(inputRow);
            put(inputRow, (read - top) * seen.dim(1) * RGB);
        }
        upscaler.upscale(tiler, seen, next - top, end - top, made, afterTile);
        ready = (end - next) * tiler.scale();
        given = 0;
        next = end;
    }

    private void put(float[] row, int at) {
        int channels = header.channels().count();
        for (int i = 0; i < seen.dim(1) * RGB; i++) {
            seen.array()[at + i] = row[i / RGB * channels + Math.min(i % RGB, channels - 1)];
        }
    }

    @Override
    public void close() throws IOException {
        source.close();
    }
}
