// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import dev.halftone.models.image.Channels;
import dev.halftone.models.image.ImageHeader;
import dev.halftone.models.image.ImageRows;
import java.io.IOException;

/** An image upscaled by a network, as its rows are read. */
final class NetworkRows implements ImageRows {
    private static final int RGB = 3;

    private final ImageRows source;
    private final ImageHeader header;
    private final Upscaler.Run run;
    private final float[] inputRow;
    private final float[] outputRow;

    /** {@code source} has one or three channels; {@code afterPart} runs after every part of the work. */
    NetworkRows(ImageRows source, Upscaler upscaler, Runnable afterPart) {
        ImageHeader input = source.header();
        int scale = upscaler.scale();
        this.source = source;
        this.header =
                input.withSize(Math.multiplyExact(input.width(), scale), Math.multiplyExact(input.height(), scale));
        this.inputRow = new float[input.rowSize()];
        this.outputRow = new float[Math.multiplyExact(header.width(), RGB)];
        this.run = upscaler.start(this::read, input.height(), input.width(), afterPart);
    }

    /** Returns how often progress is told. */
    int parts() {
        return run.parts();
    }

    @Override
    public ImageHeader header() {
        return header;
    }

    @Override
    public void next(float[] row) throws IOException {
        if (header.channels() == Channels.RGB) {
            run.next(row);
            return;
        }
        run.next(outputRow);
        // Of a grey image the network makes three channels that differ a little; their mean has the least noise.
        for (int x = 0; x < row.length; x++) {
            int at = RGB * x;
            row[x] = (outputRow[at] + outputRow[at + 1] + outputRow[at + 2]) / RGB;
        }
    }

    private void read(float[] row) throws IOException {
        source.next(inputRow);
        int channels = header.channels().count();
        for (int i = 0; i < row.length; i++) {
            row[i] = inputRow[i / RGB * channels + Math.min(i % RGB, channels - 1)];
        }
    }

    @Override
    public void close() throws IOException {
        run.close();
        source.close();
    }
}
