// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import java.awt.color.ColorSpace;
import java.awt.color.ICC_Profile;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** ICC profiles for tests. */
final class Profiles {
    private Profiles() {}

    /** Returns Display P3: the JDK's sRGB profile with other primaries, relative to D50. */
    static byte[] displayP3() {
        byte[] profile = ICC_Profile.getInstance(ColorSpace.CS_sRGB).getData();
        ByteBuffer bytes = ByteBuffer.wrap(profile);
        double[][] primaries = {{0.51512, 0.2412, -0.00105}, {0.29198, 0.69225, 0.04189}, {0.1571, 0.06657, 0.78407}};
        for (int c = 0; c < 3; c++) {
            int at = tag(bytes, "rgb".charAt(c) + "XYZ");
            for (int i = 0; i < 3; i++) {
                bytes.putInt(at + 8 + 4 * i, (int) Math.round(primaries[c][i] * 65536));
            }
        }
        return profile;
    }

    /** Returns a profile for grey images. */
    static byte[] grey() {
        return ICC_Profile.getInstance(ColorSpace.CS_GRAY).getData();
    }

    private static int tag(ByteBuffer profile, String name) {
        for (int i = 0; i < profile.getInt(128); i++) {
            byte[] type = new byte[4];
            profile.get(132 + 12 * i, type);
            if (new String(type, StandardCharsets.ISO_8859_1).equals(name)) {
                return profile.getInt(132 + 12 * i + 4);
            }
        }
        throw new IllegalArgumentException("the profile has no " + name);
    }
}
