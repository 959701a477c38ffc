// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.procedural;

import static org.assertj.core.api.Assertions.assertThat;

import dev.halftone.tensor.Tensor;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class ProceduralImagesTest {
    /** The training data and the default test images must not change by accident. */
    @ParameterizedTest
    @CsvSource({
        "DEAD_LEAVES, 287d7361cd4b8e62",
        "GRADIENTS, 1d05a02be8a993b4",
        "TEXT, 6ab0384c5d747d60",
        "GRATINGS, 5e45f995482832cc",
        "FRACTAL_TEXTURE, 9062149b7d8cdf0b",
        "SCENE, 54da2e46c13d8b17",
        "FACADE, 8bf798e5eaf9b843",
        "LINES, aa2235cc47c7761d"
    })
    void sameSeedSameBytesOnEveryMachine(Kind kind, String hash) throws Exception {
        Tensor image = ProceduralImages.image(kind, 42, 40, 56);
        byte[] bytes = new byte[image.size()];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) (int) image.array()[i];
        }
        byte[] digest = MessageDigest.getInstance("SHA-256").digest(bytes);
        assertThat(HexFormat.of().formatHex(digest)).startsWith(hash);
    }

    @ParameterizedTest
    @EnumSource
    void valuesAreBytesAndSeedsDiffer(Kind kind) {
        float[] a = ProceduralImages.image(kind, 1, 33, 47).toArray();
        float[] b = ProceduralImages.image(kind, 2, 33, 47).toArray();
        assertThat(a).isNotEqualTo(b);
        float min = 255;
        float max = 0;
        for (float v : a) {
            assertThat(v).isBetween(0f, 255f);
            assertThat(v).isEqualTo((float) Math.rint(v));
            min = Math.min(min, v);
            max = Math.max(max, v);
        }
        assertThat(max - min).as("contrast").isGreaterThan(20);
    }

    @Test
    void testImagesAreNotCalibrationImages() {
        assertThat(ProceduralImages.evaluationSet()).hasSize(8);
        assertThat(ProceduralImages.calibrationSet()).hasSize(24);
        for (ProceduralImages.Named test : ProceduralImages.evaluationSet()) {
            for (ProceduralImages.Named calibration : ProceduralImages.calibrationSet()) {
                assertThat(Arrays.copyOf(test.image().toArray(), 300))
                        .isNotEqualTo(Arrays.copyOf(calibration.image().toArray(), 300));
            }
        }
    }
}
