// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import java.io.IOException;
import java.util.ArrayDeque;
import org.jspecify.annotations.Nullable;

/**
 * Takes an image with alpha apart into two, its colours and its alpha (as grey). Each may be read at its own pace: rows that only one
 * has seen are kept for the other.
 */
final class SplitRows {
    private final ImageRows source;
    private final Part colours;
    private final Part alpha;

    SplitRows(ImageRows source) {
        this.source = source;
        Channels channels = source.header().channels();
        colours = new Part(Channels.of(channels.grey(), false), 0);
        alpha = new Part(Channels.GREY, channels.colours());
        colours.other = alpha;
        alpha.other = colours;
    }

    /** Returns the colours of an image alone. */
    static ImageRows withoutAlpha(ImageRows image) {
        return image.header().channels().alpha() ? new SplitRows(image).alone() : image;
    }

    private ImageRows alone() {
        colours.other = null;
        return colours;
    }

    /** Returns the colours. Closing them closes the source. */
    ImageRows colours() {
        return colours;
    }

    /** Returns the alpha. Closing it closes the source. */
    ImageRows alpha() {
        return alpha;
    }

    private final class Part implements ImageRows {
        private final ImageHeader header;
        private final int first;
        private final ArrayDeque<float[]> waiting = new ArrayDeque<>();
        private @Nullable Part other;

        Part(Channels channels, int first) {
            this.header = source.header().withChannels(channels);
            this.first = first;
        }

        @Override
        public ImageHeader header() {
            return header;
        }

        @Override
        public void next(float[] row) throws IOException {
            if (waiting.isEmpty()) {
                float[] both = new float[source.header().rowSize()];
                source.next(both);
                waiting.add(take(both));
                if (other != null) {
                    other.waiting.add(other.take(both));
                }
            }
            float[] taken = waiting.remove();
            System.arraycopy(taken, 0, row, 0, taken.length);
        }

        private float[] take(float[] both) {
            int count = header.channels().count();
            int all = source.header().channels().count();
            float[] mine = new float[header.rowSize()];
            for (int x = 0; x < header.width(); x++) {
                System.arraycopy(both, x * all + first, mine, x * count, count);
            }
            return mine;
        }

        @Override
        public void close() throws IOException {
            source.close();
        }
    }
}
