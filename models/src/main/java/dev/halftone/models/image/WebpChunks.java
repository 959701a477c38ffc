// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * What stands beside the pixels of a WebP file. Damage is left to the decoder to find.
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

    static WebpChunks read(byte[] file) {
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
                default -> {}
            }
            at += 8 + length + (length & 1);
        }
        return new WebpChunks(orientation, profile, plain);
    }
}
