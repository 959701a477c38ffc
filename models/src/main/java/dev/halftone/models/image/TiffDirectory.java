// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * The first directory of a TIFF file, and of Exif data, which are one: tags with their values. Whatever is damaged has no tags: a
 * picture is not refused for what its camera wrote beside it.
 */
final class TiffDirectory {
    private static final int ORIENTATION = 274;
    private static final int PHOTOMETRIC = 262;
    private static final int SHORT = 3;
    private static final int ENTRY = 12;

    private final ByteBuffer data;

    private TiffDirectory(byte[] tiff) {
        this.data = ByteBuffer.wrap(tiff);
        if (tiff.length > 0 && tiff[0] == 'I') {
            data.order(ByteOrder.LITTLE_ENDIAN);
        }
    }

    /** Returns the orientation that Exif data or a TIFF file states. */
    static Orientation orientation(byte[] tiff) {
        return Orientation.of(new TiffDirectory(tiff).number(ORIENTATION));
    }

    /** Returns the photometric interpretation of a TIFF file, for example 5 for CMYK, or -1. */
    static int photometric(byte[] tiff) {
        return new TiffDirectory(tiff).number(PHOTOMETRIC);
    }

    /** Returns the 16-bit number of a tag, -1 without it. */
    private int number(int tag) {
        int size = data.capacity();
        long directory = size < 8 ? size : data.getInt(4) & 0xFFFFFFFFL;
        if (directory + 2 > size) {
            return -1;
        }
        int count = data.getShort((int) directory) & 0xFFFF;
        for (int i = 0; i < count; i++) {
            long entry = directory + 2 + (long) i * ENTRY;
            if (entry + ENTRY > size) {
                return -1;
            }
            int at = (int) entry;
            if ((data.getShort(at) & 0xFFFF) == tag && data.getShort(at + 2) == SHORT && data.getInt(at + 4) == 1) {
                return data.getShort(at + 8) & 0xFFFF;
            }
        }
        return -1;
    }
}
