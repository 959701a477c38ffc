// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.testing.Golden;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Bicubic resizing, metrics and PNG reading against the reference implementations. */
class ImageGoldenTest {
    private static final int[] BORDERS = {0, 2, 3, 4};

    @ParameterizedTest
    @ValueSource(strings = {"rand", "rand_odd", "gray", "real"})
    void bicubic(String image) {
        Golden golden = Golden.open("ops_imresize");
        Tensor input = golden.has(image + "/img")
                ? golden.tensor(image + "/img").permute(1, 2, 0)
                : unit(golden.tensor(image + "/img_u8"));
        int checked = 0;
        for (String name : golden.cases()) {
            if (name.startsWith(image + "/") && golden.flag(name, "antialiasing")) {
                Tensor out = Bicubic.resize(Compute.shared(), input, golden.number(name, "scale"));
                // Ten times the largest float32 error that the reference itself has against float64.
                golden.assertClose(name + "/out", out.permute(2, 0, 1), 2e-5);
                checked++;
            }
        }
        assertThat(checked).isGreaterThanOrEqualTo(4);
    }

    private static Tensor unit(Tensor bytes) {
        Tensor t = bytes.copy();
        for (int i = 0; i < t.size(); i++) {
            t.array()[i] /= 255;
        }
        return t;
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"real_noise10", "real_bicubic", "random_vs_random", "identical", "const_offset1", "black_white"})
    void psnrAndSsim(String pair) {
        Golden golden = Golden.open("ops_metrics");
        Tensor a = golden.tensor("pairs/" + pair + "/a");
        Tensor b = golden.tensor("pairs/" + pair + "/b");
        Tensor psnr = golden.tensor("pairs/" + pair + "/psnr");
        Tensor ssim = golden.tensor("pairs/" + pair + "/ssim");
        for (int i = 0; i < BORDERS.length; i++) {
            double[] p = {Metrics.psnr(a, b, BORDERS[i]), Metrics.psnrY(a, b, BORDERS[i])};
            double[] s = {Metrics.ssim(a, b, BORDERS[i]), Metrics.ssimY(a, b, BORDERS[i])};
            for (int c = 0; c < 2; c++) {
                if (pair.equals("identical")) {
                    assertThat(p[c]).isInfinite();
                } else {
                    assertThat(p[c]).isCloseTo(psnr.get(i, c), within(1e-4));
                }
                assertThat(s[c]).isCloseTo(ssim.get(i, c), within(1e-6));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"colors", "real"})
    void luma(String image) {
        Golden golden = Golden.open("ops_metrics");
        Tensor expected = golden.tensor("y/" + image + "/f32");
        float[] y = Metrics.luma(golden.tensor("y/" + image + "/rgb")).toArray();
        for (int i = 0; i < y.length; i++) {
            assertThat(y[i]).isCloseTo(expected.array()[expected.offset() + i], within(3e-5f));
        }
    }

    @Test
    void pngs() throws Exception {
        Golden golden = Golden.open("png_images");
        for (String name : new String[] {"rgb8", "palette8"}) {
            assertThat(read(name).rgb().toArray()).isEqualTo(golden.tensor(name).toArray());
            assertThat(read(name).alpha()).isNull();
        }
        for (String name : new String[] {"gray8", "gray16"}) {
            float unit = name.equals("gray8") ? 1 : 257;
            Tensor grey = golden.tensor(name);
            Tensor rgb = read(name).rgb();
            for (int i = 0; i < rgb.size(); i++) {
                assertThat(rgb.array()[i]).isEqualTo(grey.array()[grey.offset() + i / 3] / unit);
            }
        }
        Tensor rgba = golden.tensor("rgba8");
        DecodedImage image = read("rgba8");
        Tensor alpha = image.alpha();
        assertThat(alpha).isNotNull();
        for (int i = 0; alpha != null && i < alpha.size(); i++) {
            assertThat(alpha.array()[i]).isEqualTo(rgba.array()[rgba.offset() + 4 * i + 3]);
            for (int c = 0; c < 3; c++) {
                assertThat(image.rgb().array()[3 * i + c]).isEqualTo(rgba.array()[rgba.offset() + 4 * i + c]);
            }
        }
    }

    private static DecodedImage read(String name) throws Exception {
        return ImageFiles.read(Golden.folder().resolve("png").resolve(name + ".png"));
    }
}
