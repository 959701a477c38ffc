// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.zip.CRC32;
import javax.imageio.IIOException;

/**
 * The chunks of a PNG file, one after the other. The checksum of every chunk whose content is taken is verified, and so is that of
 * every critical chunk.
 */
final class PngChunkReader {
    static final byte[] SIGNATURE = {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};

    private final DataInputStream in;
    private final CRC32 checksum = new CRC32();
    private String type = "";
    private long at;
    private int left;

    /** Starts behind the signature. */
    PngChunkReader(InputStream in) throws IOException {
        this.in = new DataInputStream(in);
        if (!Arrays.equals(in.readNBytes(SIGNATURE.length), SIGNATURE)) {
            throw new IIOException("it does not start as a PNG file does");
        }
        at = SIGNATURE.length;
    }

    /** Returns the type of the current chunk. */
    String type() {
        return type;
    }

    /** Goes on to the next chunk, over what is left of this one, and returns its type. */
    String next() throws IOException {
        if (type.equals("IEND")) {
            throw new IllegalStateException("there are no more chunks");
        }
        if (!type.isEmpty()) {
            finish();
        }
        boolean first = type.isEmpty();
        byte[] name = new byte[4];
        try {
            left = in.readInt();
            in.readFully(name);
        } catch (EOFException e) {
            throw new IIOException("it ends before its IEND chunk", e);
        }
        type = new String(name, StandardCharsets.ISO_8859_1);
        if (left < 0 || !type.matches("[A-Za-z]{4}") || first != type.equals("IHDR")) {
            throw new IIOException("there is no chunk where one should be, at byte " + at);
        }
        at += 12L + left;
        checksum.reset();
        checksum.update(name);
        return type;
    }

    /** Skips an ancillary chunk (lower-case first letter); of a critical one, takes the rest and verifies the checksum. */
    private void finish() throws IOException {
        if (left < 0) {
            return;
        }
        if (Character.isUpperCase(type.charAt(0))) {
            byte[] rest = new byte[8192];
            while (read(rest) >= 0) {}
            return;
        }
        try {
            in.skipNBytes(left + 4L);
        } catch (EOFException e) {
            throw endsInside(e);
        }
    }

    /** Returns what is left of the current chunk. */
    byte[] data() throws IOException {
        // Reads as it allocates: a chunk that only claims to be large costs nothing.
        byte[] data = in.readNBytes(left);
        if (data.length < left) {
            throw endsInside(new EOFException());
        }
        checksum.update(data);
        left = 0;
        verify();
        return data;
    }

    /** Reads a part of the current chunk; returns the number of bytes, -1 at its end. */
    int read(byte[] to) throws IOException {
        if (left < 0) {
            return -1;
        }
        if (left == 0) {
            verify();
            return -1;
        }
        int count = in.read(to, 0, Math.min(left, to.length));
        if (count < 0) {
            throw endsInside(new EOFException());
        }
        checksum.update(to, 0, count);
        left -= count;
        return count;
    }

    private void verify() throws IOException {
        left = -1;
        int stated;
        try {
            stated = in.readInt();
        } catch (EOFException e) {
            throw endsInside(e);
        }
        if (stated != (int) checksum.getValue()) {
            throw new IIOException("the checksum of its " + type + " chunk is wrong");
        }
    }

    private IIOException endsInside(EOFException e) {
        return new IIOException("it ends inside its " + type + " chunk", e);
    }
}
