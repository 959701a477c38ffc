// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import javax.imageio.IIOException;
import org.jspecify.annotations.Nullable;

/**
 * What stands beside the pixels of a WebP file. Damage is left to the decoder to find, but for one kind that it does not see: a picture
 * of another size than the canvas, whose missing pixels would be decoded from nothing.
 *
 * @param orientation how the pixels are to be turned
 * @param iccProfile the profile, or null
 * @param withoutProfile the file without its profile, which the decoder would apply
 */
record WebpChunks(Orientation orientation, byte @Nullable [] iccProfile, byte[] withoutProfile) {
    private static final int FIRST_CHUNK = 12;
    /** What the chunk VP8X says of the others, in its first byte. */
    private static final int HAS_PROFILE = 0x20;

    private static final String EXIF = "Exif\0\0";

    private static final int SIZE_OF_VP8X = 10;
    private static final int SIZE_OF_FRAME = 10;
    private static final int MASK_14 = 0x3FFF;
    private static final int MASK_24 = 0xFFFFFF;

    /** The size of a canvas or picture, 0 where it is not stated. */
    private record Size(int width, int height) {
        static final Size NONE = new Size(0, 0);

        boolean differs(Size other) {
            return !equals(NONE) && !other.equals(NONE) && !equals(other);
        }
    }

    static WebpChunks read(byte[] file) throws IIOException {
        Size canvas = Size.NONE;
        Size picture = Size.NONE;
        Orientation orientation = Orientation.TOP_LEFT;
        byte[] profile = null;
        byte[] plain = file.clone();
        ByteBuffer data = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        long at = FIRST_CHUNK;
        while (at + 8 <= file.length) {
            int start = (int) at;
            long length = data.getInt(start + 4) & 0xFFFFFFFFL;
            if (length > file.length - at - 8) {
                break;
            }
            byte[] content = Arrays.copyOfRange(file, start + 8, start + 8 + (int) length);
            switch (new String(file, start, 4, StandardCharsets.ISO_8859_1)) {
                case "VP8X" -> {
                    if (length >= SIZE_OF_VP8X) {
                        canvas = new Size(
                                1 + (data.getInt(start + 12) & MASK_24), 1 + (data.getInt(start + 14) >>> Byte.SIZE));
                    }
                    if (length > 0) {
                        plain[start + 8] &= (byte) ~HAS_PROFILE;
                    }
                }
                case "ICCP" -> {
                    profile = content;
                    plain[start + 3] = '-'; // decoders skip chunks that they do not know
                }
                // Some writers put the name of JPEG's Exif segment in front.
                case "EXIF" ->
                    orientation = TiffDirectory.orientation(
                            new String(content, StandardCharsets.ISO_8859_1).startsWith(EXIF)
                                    ? Arrays.copyOfRange(content, EXIF.length(), content.length)
                                    : content);
                case "VP8 " -> {
                    if (length >= SIZE_OF_FRAME) {
                        picture = new Size(data.getShort(start + 14) & MASK_14, data.getShort(start + 16) & MASK_14);
                    }
                }
                case "VP8L" -> {
                    if (length >= 1 + Integer.BYTES) {
                        int bits = data.getInt(start + 9);
                        picture = new Size(1 + (bits & MASK_14), 1 + (bits >>> 14 & MASK_14));
                    }
                }
                default -> {}
            }
            if (canvas.differs(picture)) {
                throw new IIOException("its canvas of " + canvas.width + "x" + canvas.height
                        + " pixels has a picture of " + picture.width + "x" + picture.height);
            }
            at += 8 + length + (length & 1);
        }
        return new WebpChunks(orientation, profile, plain);
    }
}
