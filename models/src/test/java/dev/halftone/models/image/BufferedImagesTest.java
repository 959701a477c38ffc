// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.tensor.Tensor;
import java.awt.color.ColorSpace;
import java.awt.image.BufferedImage;
import java.awt.image.ComponentColorModel;
import java.awt.image.DataBuffer;
import java.awt.image.WritableRaster;
import java.util.Objects;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class BufferedImagesTest {
    private static final int HEIGHT = 5;
    private static final int WIDTH = 7;

    @ParameterizedTest
    @ValueSource(
            ints = {
                BufferedImage.TYPE_INT_RGB,
                BufferedImage.TYPE_INT_BGR,
                BufferedImage.TYPE_3BYTE_BGR,
                BufferedImage.TYPE_INT_ARGB,
                BufferedImage.TYPE_4BYTE_ABGR
            })
    void takesEightBitColoursAsTheyAre(int type) {
        int[][] argb = random(1);
        BufferedImage image = new BufferedImage(WIDTH, HEIGHT, type);
        fill(image, argb);
        Tensor rgb = BufferedImages.toTensor(image);
        Tensor alpha = BufferedImages.decode(image).alpha();
        assertThat(alpha != null).isEqualTo(image.getColorModel().hasAlpha());
        for (int y = 0; y < HEIGHT; y++) {
            for (int x = 0; x < WIDTH; x++) {
                assertThat(rgb.get(y, x, 0)).isEqualTo(argb[y][x] >> 16 & 0xFF);
                assertThat(rgb.get(y, x, 1)).isEqualTo(argb[y][x] >> 8 & 0xFF);
                assertThat(rgb.get(y, x, 2)).isEqualTo(argb[y][x] & 0xFF);
                if (alpha != null) {
                    assertThat(alpha.get(y, x, 0)).isEqualTo(argb[y][x] >>> 24);
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {BufferedImage.TYPE_INT_ARGB_PRE, BufferedImage.TYPE_4BYTE_ABGR_PRE})
    void dividesPremultipliedColours(int type) {
        BufferedImage image = new BufferedImage(2, 1, type);
        image.getRaster().setPixel(0, 0, new int[] {100, 50, 7, 128});
        image.getRaster().setPixel(1, 0, new int[] {0, 0, 0, 0});
        assertThat(BufferedImages.toTensor(image).toArray()).containsExactly(199, 100, 14, 0, 0, 0);
        Tensor alpha = Objects.requireNonNull(BufferedImages.decode(image).alpha());
        assertThat(alpha.toArray()).containsExactly(128, 0);
    }

    @Test
    void takesGreyWithoutGamma() {
        BufferedImage image = new BufferedImage(256, 1, BufferedImage.TYPE_BYTE_GRAY);
        for (int v = 0; v < 256; v++) {
            image.getRaster().setSample(v, 0, 0, v);
        }
        Tensor rgb = BufferedImages.toTensor(image);
        for (int v = 0; v < 256; v++) {
            for (int c = 0; c < 3; c++) {
                assertThat(rgb.get(0, v, c)).isEqualTo(v);
            }
        }
    }

    @Test
    void takesSixteenBitsExactly() {
        BufferedImage image = new BufferedImage(3, 1, BufferedImage.TYPE_USHORT_GRAY);
        image.getRaster().setSample(0, 0, 0, 65535);
        image.getRaster().setSample(1, 0, 0, 257 * 77);
        image.getRaster().setSample(2, 0, 0, 1);
        assertThat(BufferedImages.toTensor(image).toArray())
                .containsExactly(255, 255, 255, 77, 77, 77, 1 / 257f, 1 / 257f, 1 / 257f);
    }

    @Test
    void spreadsFewBitsOverTheWholeRange() {
        BufferedImage image = new BufferedImage(2, 1, BufferedImage.TYPE_USHORT_565_RGB);
        image.getRaster().setPixel(0, 0, new int[] {31, 63, 0});
        image.getRaster().setPixel(1, 0, new int[] {1, 1, 16});
        assertThat(BufferedImages.toTensor(image).toArray()).containsExactly(255, 255, 0, 8, 4, 132);
    }

    @Test
    void takesBlackAndWhite() {
        BufferedImage image = new BufferedImage(9, 1, BufferedImage.TYPE_BYTE_BINARY);
        image.setRGB(8, 0, -1);
        Tensor rgb = BufferedImages.toTensor(image);
        assertThat(rgb.get(0, 7, 1)).isEqualTo(0);
        assertThat(rgb.get(0, 8, 1)).isEqualTo(255);
    }

    @Test
    void convertsOtherColourSpaces() {
        ColorSpace space = ColorSpace.getInstance(ColorSpace.CS_CIEXYZ);
        ComponentColorModel model =
                new ComponentColorModel(space, false, false, ComponentColorModel.OPAQUE, DataBuffer.TYPE_BYTE);
        WritableRaster raster = model.createCompatibleWritableRaster(1, 1);
        BufferedImage image = new BufferedImage(model, raster, false, null);
        image.setRGB(0, 0, 0xFF808080);
        for (float v : BufferedImages.toTensor(image).toArray()) {
            assertThat(v).isBetween(120f, 136f);
        }
    }

    @Test
    void takesAPartOfAnImage() {
        BufferedImage image = new BufferedImage(WIDTH, HEIGHT, BufferedImage.TYPE_3BYTE_BGR);
        fill(image, random(2));
        Tensor part = BufferedImages.toTensor(image.getSubimage(2, 1, 4, 3));
        assertThat(part.toArray())
                .isEqualTo(
                        Pixels.crop(BufferedImages.toTensor(image), 1, 2, 3, 4).toArray());
    }

    @Test
    void comesBack() {
        BufferedImage image = new BufferedImage(WIDTH, HEIGHT, BufferedImage.TYPE_INT_ARGB);
        fill(image, random(3));
        Tensor rgb = BufferedImages.toTensor(image);
        Tensor alpha = BufferedImages.decode(image).alpha();
        BufferedImage opaque = BufferedImages.fromTensor(rgb);
        BufferedImage same = BufferedImages.encode(new DecodedImage(rgb, alpha));
        for (int y = 0; y < HEIGHT; y++) {
            for (int x = 0; x < WIDTH; x++) {
                assertThat(same.getRGB(x, y)).isEqualTo(image.getRGB(x, y));
                assertThat(opaque.getRGB(x, y)).isEqualTo(image.getRGB(x, y) | 0xFF000000);
            }
        }
    }

    @Test
    void roundsAndClamps() {
        BufferedImage image = BufferedImages.fromTensor(Tensor.of(new float[] {-3, 2.5f, 300}, 1, 1, 3));
        assertThat(image.getRGB(0, 0)).isEqualTo(0xFF0002FF);
    }

    @Test
    void refusesOtherShapes() {
        assertThatThrownBy(() -> BufferedImages.fromTensor(Tensor.zeros(4, 5, 1)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("[4, 5, 1]");
        assertThatThrownBy(() -> new DecodedImage(Tensor.zeros(4, 5, 3), Tensor.zeros(5, 4, 1)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("[4, 5, 3] and [5, 4, 1]");
    }

    private static int[][] random(long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        int[][] argb = new int[HEIGHT][WIDTH];
        for (int[] row : argb) {
            for (int x = 0; x < WIDTH; x++) {
                row[x] = random.nextInt();
            }
        }
        return argb;
    }

    private static void fill(BufferedImage image, int[][] argb) {
        for (int y = 0; y < HEIGHT; y++) {
            for (int x = 0; x < WIDTH; x++) {
                image.setRGB(x, y, argb[y][x]);
            }
        }
    }
}
