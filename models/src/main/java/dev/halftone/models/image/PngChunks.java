// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.zip.CRC32;
import javax.imageio.IIOException;

/**
 * What the JDK's decoder does not see, or gets wrong, in the outer structure of a PNG file.
 *
 * @param transparentShade the shade 0..255 that a tRNS chunk makes transparent in a grey image of 1, 2 or 4 bits, else
 *     {@link #NO_SHADE}. The decoder compares the chunk's value with shades that it has already spread over 8 bits.
 */
record PngChunks(int transparentShade) {
    static final int NO_SHADE = -1;

    private static final byte[] SIGNATURE = {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};

    /** Bytes of a chunk without data: length, type and checksum. */
    private static final int FRAME = 12;

    /** Where the header, which is the first chunk, has the bits per sample and the colour type. */
    private static final int DEPTH_AT = 24;

    private static final int COLOUR_TYPE_AT = 25;

    /** Returns whether the bytes start as a PNG file does. */
    static boolean startsAsPng(byte[] file) {
        return ByteBuffer.wrap(file, 0, Math.min(file.length, SIGNATURE.length)).equals(ByteBuffer.wrap(SIGNATURE));
    }

    /**
     * Reads the chunks, and checks that the file goes on to its end chunk and that every chunk that colours depend on has the right
     * checksum: the decoder would not see a flipped bit in a palette.
     *
     * @throws IIOException if not
     */
    static PngChunks read(byte[] file) throws IIOException {
        ByteBuffer buffer = ByteBuffer.wrap(file);
        int shade = NO_SHADE;
        int at = SIGNATURE.length;
        String type = "";
        while (!type.equals("IEND")) {
            if (file.length - at < FRAME) {
                throw new IIOException("it ends before its IEND chunk");
            }
            int length = buffer.getInt(at);
            int data = at + 8;
            type = new String(file, at + 4, 4, StandardCharsets.ISO_8859_1);
            if (!type.matches("[A-Za-z]{4}") || (at == SIGNATURE.length && !type.equals("IHDR"))) {
                throw new IIOException("there is no chunk where one should be, at byte " + at);
            }
            if (length < 0 || length > file.length - at - FRAME) {
                throw new IIOException("it ends inside its " + type + " chunk");
            }
            // An upper-case first letter marks a critical chunk; of the others only transparency matters here.
            if (Character.isUpperCase(type.charAt(0)) || type.equals("tRNS")) {
                CRC32 crc = new CRC32();
                crc.update(file, at + 4, length + 4);
                if ((int) crc.getValue() != buffer.getInt(data + length)) {
                    throw new IIOException("the checksum of its " + type + " chunk is wrong");
                }
            }
            if (type.equals("tRNS")
                    && length == 2
                    && file[COLOUR_TYPE_AT] == 0
                    && file[DEPTH_AT] > 0
                    && file[DEPTH_AT] < 8) {
                int largest = (1 << file[DEPTH_AT]) - 1;
                shade = (buffer.getShort(data) & largest) * 255 / largest;
            }
            at += FRAME + length;
        }
        return new PngChunks(shade);
    }
}
