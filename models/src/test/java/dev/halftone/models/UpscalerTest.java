// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.models.image.BufferedImages;
import dev.halftone.models.image.Channels;
import dev.halftone.models.image.ColourTags;
import dev.halftone.models.image.DecodedImage;
import dev.halftone.models.image.ImageHeader;
import dev.halftone.models.image.ImageRows;
import dev.halftone.models.image.Target;
import dev.halftone.models.image.Target.Alpha;
import dev.halftone.models.procedural.ProceduralImages;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import java.awt.image.BufferedImage;
import java.awt.image.DataBuffer;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CancellationException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class UpscalerTest {
    private static Edsr tiny(int scale) {
        return new Edsr(new EdsrConfig(2, 8, scale, 1)).initialize(new SplittableRandom(5));
    }

    private static Upscaler upscaler(int scale, int tile) {
        return Upscaler.of(tiny(scale), Compute.shared(), tile);
    }

    @ParameterizedTest
    @CsvSource({
        "2, 37, 53, 8",
        "2, 64, 20, 16",
        "3, 100, 31, 10",
        "4, 7, 40, 3",
        "2, 5, 5, 192",
        "2, 1, 30, 4",
        "2, 30, 1, 4"
    })
    void rowsEqualTheWholeImageBitForBit(int scale, int height, int width, int tile) throws IOException {
        Tensor image = ProceduralImages.image(scale, height, width);
        List<String> told = new ArrayList<>();
        try (Upscaler upscaler = upscaler(scale, tile)) {
            Tensor whole = upscaler.upscale(image);
            ImageRows rows = upscaler.upscale(
                    new Rows(image, Channels.RGB, 8), Target.NATIVE, (done, total) -> told.add(done + "/" + total));
            assertThat(read(rows)).isEqualTo(whole.toArray());
            assertThatThrownBy(() -> rows.next(new float[3 * scale * width])).isInstanceOf(IllegalStateException.class);
        }
        int tiles = Math.ceilDiv(height, tile) * Math.ceilDiv(width, tile);
        assertThat(told).hasSize(tiles).first().isEqualTo("1/" + tiles);
        assertThat(told).last().isEqualTo(tiles + "/" + tiles);
    }

    /** The rows of {@code [H, W, C]}. */
    private static final class Rows implements ImageRows {
        private final Tensor image;
        private final ImageHeader header;
        private int y;

        Rows(Tensor image, Channels channels, int depth) {
            this.image = image;
            this.header = new ImageHeader(image.dim(1), image.dim(0), channels, depth, ColourTags.NONE);
        }

        @Override
        public ImageHeader header() {
            return header;
        }

        @Override
        public void next(float[] row) {
            System.arraycopy(image.array(), y * row.length, row, 0, row.length);
            y++;
        }
    }

    private static float[] read(ImageRows rows) throws IOException {
        int size = rows.header().rowSize();
        float[] row = new float[size];
        float[] all = new float[size * rows.header().height()];
        for (int y = 0; y < rows.header().height(); y++) {
            rows.next(row);
            System.arraycopy(row, 0, all, y * size, size);
        }
        return all;
    }

    @Test
    void greyStaysGrey() throws IOException {
        Tensor grey = channel(ProceduralImages.image(4, 20, 30), 1);
        Tensor colour = Tensor.zeros(20, 30, 3);
        for (int i = 0; i < colour.size(); i++) {
            colour.array()[i] = grey.array()[i / 3];
        }
        try (Upscaler upscaler = upscaler(2, 11)) {
            Tensor whole = upscaler.upscale(colour);
            ImageRows rows = upscaler.upscale(new Rows(grey, Channels.GREY, 8), Target.NATIVE, Tiler.Progress.NONE);
            assertThat(rows.header().channels()).isEqualTo(Channels.GREY);
            float[] result = read(rows);
            for (int i = 0; i < result.length; i++) {
                float mean = (whole.array()[3 * i] + whole.array()[3 * i + 1] + whole.array()[3 * i + 2]) / 3;
                assertThat(result[i]).isEqualTo(mean);
            }
        }
    }

    private static Tensor channel(Tensor image, int c) {
        Tensor one = Tensor.zeros(image.dim(0), image.dim(1), 1);
        for (int i = 0; i < one.size(); i++) {
            one.array()[i] = image.array()[image.dim(2) * i + c];
        }
        return one;
    }

    @Test
    void opaqueAlphaChangesNothing() throws IOException {
        Tensor rgb = ProceduralImages.image(6, 25, 33);
        DecodedImage opaque = new DecodedImage(rgb, Tensor.zeros(25, 33, 1).fill(255));
        try (Upscaler upscaler = upscaler(2, 16)) {
            Tensor whole = upscaler.upscale(rgb);
            for (Alpha alpha : Alpha.values()) {
                float[] result =
                        read(upscaler.upscale(opaque.rows(), Target.NATIVE.withAlpha(alpha), Tiler.Progress.NONE));
                int count = alpha == Alpha.DROP ? 3 : 4;
                for (int i = 0; i < whole.size(); i++) {
                    assertThat(result[i / 3 * count + i % 3]).isEqualTo(whole.array()[i]);
                }
                if (alpha == Alpha.BICUBIC) {
                    for (int i = 3; i < result.length; i += 4) {
                        assertThat(result[i]).isEqualTo(255);
                    }
                }
            }
        }
    }

    @Test
    void aTransparentShapeHasNoFringe() throws IOException {
        // The colour of what nobody sees must not matter, where it is next to what is seen.
        int size = 40;
        Tensor alpha = Tensor.zeros(size, size, 1);
        Tensor black = ProceduralImages.image(8, size, size);
        Tensor plain = black.copy();
        for (int y = 0; y < size; y++) {
            for (int x = 0; x < size; x++) {
                boolean seen = Math.hypot(x - 20, y - 20) < 12;
                alpha.set(seen ? 255 : 0, y, x, 0);
                for (int c = 0; c < 3; c++) {
                    plain.set(128, y, x, c);
                    black.set(seen ? 128 : 0, y, x, c);
                }
            }
        }
        try (Upscaler upscaler = Upscaler.open("edsr")) {
            DecodedImage masked = new DecodedImage(black, alpha);
            float[] result = read(upscaler.upscale(masked.rows(), Target.NATIVE, Tiler.Progress.NONE));
            float[] wanted = upscaler.upscale(plain).toArray();
            for (int i = 0; i < wanted.length; i++) {
                if (result[i / 3 * 4 + 3] > 0.5) {
                    assertThat(result[i / 3 * 4 + i % 3]).isBetween(wanted[i] - 1, wanted[i] + 1);
                }
            }
        }
    }

    @Test
    void sixteenBitsStaySixteen() throws IOException {
        // A ramp of 60 steps of 8 bits over 480 pixels: 8-bit steps would show as bands.
        Tensor ramp = Tensor.zeros(8, 480, 3);
        for (int i = 0; i < ramp.size(); i++) {
            ramp.array()[i] = 100 + Math.round(i / 3 % 480 * 257 / 8f) / 257f;
        }
        try (Upscaler upscaler = Upscaler.open("edsr")) {
            BufferedImage image = BufferedImages.of(new Rows(ramp, Channels.RGB, 16));
            BufferedImage large = upscaler.upscale(image);
            assertThat(large.getRaster().getTransferType()).isEqualTo(DataBuffer.TYPE_USHORT);
            int[] row = large.getRaster().getPixels(0, 8, 960, 1, (int[]) null);
            for (int x = 100; x < 800; x++) {
                assertThat(row[3 * x] / 257.0).as("column %d", x).isBetween(100 + x / 16.0 - 1, 100 + x / 16.0 + 1);
            }
            long values = java.util.stream.IntStream.range(0, 960)
                    .map(x -> row[3 * x])
                    .distinct()
                    .count();
            assertThat(values).isGreaterThan(480);
            BufferedImage eight = upscaler.upscale(image, Target.NATIVE.withDepth(8), Tiler.Progress.NONE);
            assertThat(eight.getRaster().getTransferType()).isEqualTo(DataBuffer.TYPE_BYTE);
        }
    }

    @Test
    void bufferedImagesKeepTheirKind() {
        try (Upscaler upscaler = upscaler(2, 16)) {
            for (int type : new int[] {
                BufferedImage.TYPE_INT_RGB,
                BufferedImage.TYPE_INT_ARGB,
                BufferedImage.TYPE_INT_ARGB_PRE,
                BufferedImage.TYPE_BYTE_GRAY,
                BufferedImage.TYPE_USHORT_GRAY
            }) {
                BufferedImage image = new BufferedImage(9, 7, type);
                BufferedImage large = upscaler.upscale(image, Target.NATIVE.times(3), Tiler.Progress.NONE);
                assertThat(large.getWidth()).isEqualTo(27);
                assertThat(large.getHeight()).isEqualTo(21);
                assertThat(large.getColorModel().hasAlpha())
                        .isEqualTo(image.getColorModel().hasAlpha());
                assertThat(large.getRaster().getNumBands())
                        .isEqualTo(image.getRaster().getNumBands());
                assertThat(large.getSampleModel().getSampleSize(0))
                        .isEqualTo(image.getSampleModel().getSampleSize(0));
            }
        }
    }

    @Test
    void anInterruptedThreadStopsAfterItsTile() {
        int[] tiles = {0};
        try (Upscaler upscaler = upscaler(2, 4)) {
            Tensor image = Tensor.zeros(40, 40, 3);
            assertThatThrownBy(() -> upscaler.upscale(image, (done, total) -> {
                        tiles[0] = done;
                        if (done == 3) {
                            Thread.currentThread().interrupt();
                        }
                    }))
                    .isInstanceOf(CancellationException.class);
            assertThat(tiles[0]).isEqualTo(3);
            assertThat(Thread.interrupted()).as("the interrupt is still told").isTrue();
            assertThat(upscaler.upscale(image).dim(0)).isEqualTo(80);
        }
    }

    @Test
    void alphaThroughTheNetworkIsThatOfAGreyImage() throws IOException {
        Tensor rgb = ProceduralImages.image(6, 25, 33);
        Tensor alpha = channel(ProceduralImages.image(7, 25, 33), 0);
        try (Upscaler upscaler = upscaler(2, 16)) {
            float[] grey =
                    read(upscaler.upscale(new Rows(alpha, Channels.GREY, 8), Target.NATIVE, Tiler.Progress.NONE));
            float[] result = read(upscaler.upscale(
                    new DecodedImage(rgb, alpha).rows(), Target.NATIVE.withAlpha(Alpha.MODEL), Tiler.Progress.NONE));
            for (int i = 0; i < grey.length; i++) {
                assertThat(result[4 * i + 3]).isEqualTo(grey[i]);
            }
        }
    }
}
