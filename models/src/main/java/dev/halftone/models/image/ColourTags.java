// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import java.nio.charset.StandardCharsets;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a file says about how its numbers are meant. It is carried from input to output and never applied: a Display-P3 image stays
 * one.
 *
 * @param iccProfile an ICC profile, or null
 * @param pngChunks the chunks of a PNG file that do the same in other ways; other formats have no place for them
 */
public record ColourTags(byte @Nullable [] iccProfile, List<Chunk> pngChunks) {
    /** No tags. */
    public static final ColourTags NONE = new ColourTags(null, List.of());

    /** Where an ICC profile names the space of the colours it is for, and the length of its header. */
    private static final int SPACE_AT = 16;

    private static final int ICC_HEADER = 128;

    /**
     * A chunk of a PNG file.
     *
     * @param type four letters
     * @param data its content
     */
    public record Chunk(String type, byte[] data) {}

    /** Returns the tags of a file that has nothing but an ICC profile, or not even that. */
    static ColourTags ofProfile(byte @Nullable [] iccProfile) {
        return iccProfile == null ? NONE : new ColourTags(iccProfile, List.of());
    }

    /** Returns the tags without an ICC profile that is for other colours (or is none): it would make the output invalid. */
    ColourTags fitting(Channels channels) {
        if (iccProfile == null) {
            return this;
        }
        String space =
                iccProfile.length < ICC_HEADER ? "" : new String(iccProfile, SPACE_AT, 4, StandardCharsets.ISO_8859_1);
        return space.equals(channels.grey() ? "GRAY" : "RGB ") ? this : new ColourTags(null, pngChunks);
    }
}
