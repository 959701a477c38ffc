// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import dev.halftone.nn.Plan;
import dev.halftone.tensor.Tensor;
import java.io.IOException;
import java.util.function.UnaryOperator;

/**
 * A map upscaled by a network, one row of tiles at a time: it holds the input rows that the tiles see and the output rows that they
 * make, whatever the height of the map. The result is that of the whole map, bit for bit.
 */
final class TiledRows implements Plan.Rows {
    private final Plan.Rows source;
    private final UnaryOperator<Tensor> network;
    private final Runnable afterTile;
    private final Tiler tiler;
    private final int height;

    /** The input rows {@code top .. top + seen.dim(0)}; all filled up to row {@code read} of the map. */
    private final Tensor seen;

    private final float[] inputRow;
    private int top;
    private int read;

    /** The output of the current row of tiles, of which {@code given} rows are out. */
    private final Tensor made;

    private int next;
    private int given;
    private int ready;

    TiledRows(
            Plan.Rows source,
            Tiler tiler,
            int height,
            int width,
            int channels,
            UnaryOperator<Tensor> network,
            Runnable afterTile) {
        this.source = source;
        this.network = network;
        this.afterTile = afterTile;
        this.tiler = tiler;
        this.height = height;
        this.seen = Tensor.zeros(tiler.window(height, width, channels).dim(1), width, channels);
        this.inputRow = new float[width * channels];
        this.made = Tensor.zeros(
                Math.min(height, tiler.rows()) * tiler.scale(), Math.multiplyExact(width, tiler.scale()), channels);
    }

    @Override
    public void next(float[] row) throws IOException {
        if (given == ready) {
            make();
        }
        System.arraycopy(made.array(), given * row.length, row, 0, row.length);
        given++;
    }

    private void make() throws IOException {
        if (next == height) {
            throw new IllegalStateException("there are no more rows");
        }
        int end = Math.min(height, next + tiler.rows());
        int newTop = tiler.top(next, height);
        int size = inputRow.length;
        System.arraycopy(seen.array(), (newTop - top) * size, seen.array(), 0, (read - newTop) * size);
        top = newTop;
        for (; read < top + seen.dim(0); read++) {
            source.next(inputRow);
            System.arraycopy(inputRow, 0, seen.array(), (read - top) * size, size);
        }
        tiler.row(seen, next - top, end - top, network, made, afterTile);
        ready = (end - next) * tiler.scale();
        given = 0;
        next = end;
    }
}
