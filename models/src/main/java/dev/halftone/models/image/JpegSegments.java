// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * What stands in front of the pixels of a JPEG file. Damage is left to the decoder to find.
 *
 * @param orientation how the pixels are to be turned
 * @param iccProfile the profile, put together from its parts, or null
 * @param components samples per pixel, 4 for CMYK, 0 if the file ends before it says so
 * @param withoutProfile the file without its profile, which the JDK's decoder would apply
 */
record JpegSegments(Orientation orientation, byte @Nullable [] iccProfile, int components, byte[] withoutProfile) {
    private static final int APP1 = 0xE1;
    private static final int APP2 = 0xE2;
    private static final int START_OF_SCAN = 0xDA;
    private static final byte[] EXIF = "Exif\0\0".getBytes(StandardCharsets.ISO_8859_1);

    /** Followed by the number of the part, from 1, and the count of parts. */
    static final byte[] ICC = "ICC_PROFILE\0".getBytes(StandardCharsets.ISO_8859_1);

    static JpegSegments read(byte[] file) {
        Orientation orientation = Orientation.TOP_LEFT;
        Map<Integer, byte[]> parts = new TreeMap<>();
        ByteArrayOutputStream kept = new ByteArrayOutputStream(file.length);
        int components = 0;
        int at = Math.min(2, file.length);
        kept.write(file, 0, at);
        while (at + 4 <= file.length && (file[at] & 0xFF) == 0xFF) {
            int marker = file[at + 1] & 0xFF;
            if (marker == 0xFF) { // a fill byte
                kept.write(0xFF);
                at++;
                continue;
            }
            int length = ((file[at + 2] & 0xFF) << 8) | (file[at + 3] & 0xFF);
            int end = at + 2 + length;
            if (marker == START_OF_SCAN || length < 2 || end > file.length) {
                break;
            }
            int data = at + 4;
            boolean keep = true;
            if (marker == APP1 && startsWith(file, data, end, EXIF)) {
                orientation = TiffDirectory.orientation(Arrays.copyOfRange(file, data + EXIF.length, end));
            } else if (marker == APP2 && startsWith(file, data, end, ICC) && data + ICC.length + 2 <= end) {
                parts.put(file[data + ICC.length] & 0xFF, Arrays.copyOfRange(file, data + ICC.length + 2, end));
                keep = false;
            } else if (isFrame(marker) && data + 6 <= end) {
                components = file[data + 5] & 0xFF;
            }
            if (keep) {
                kept.write(file, at, end - at);
            }
            at = end;
        }
        kept.write(file, at, file.length - at);
        ByteArrayOutputStream profile = new ByteArrayOutputStream();
        parts.values().forEach(profile::writeBytes);
        return new JpegSegments(
                orientation, parts.isEmpty() ? null : profile.toByteArray(), components, kept.toByteArray());
    }

    private static boolean startsWith(byte[] file, int at, int end, byte[] name) {
        return end - at >= name.length && Arrays.equals(file, at, at + name.length, name, 0, name.length);
    }

    /** The start of a frame, SOF0 to SOF15; the tables DHT, JPG and DAC have markers among them. */
    private static boolean isFrame(int marker) {
        return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    }
}
