// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.SplittableRandom;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class PngEncoderTest {
    private static final int WIDTH = 37;
    private static final int HEIGHT = 29;

    @ParameterizedTest
    @CsvSource({
        "GREY, 8",
        "GREY, 16",
        "GREY_ALPHA, 8",
        "GREY_ALPHA, 16",
        "RGB, 8",
        "RGB, 16",
        "RGB_ALPHA, 8",
        "RGB_ALPHA, 16"
    })
    void everyKindComesBack(Channels channels, int depth) throws IOException {
        ImageHeader header = new ImageHeader(WIDTH, HEIGHT, channels, depth, ColourTags.NONE);
        int[][] samples = samples(header);
        byte[] file = encode(header, samples);

        try (ImageRows read = ImageFiles.open(new ByteArrayInputStream(file), Path.of("test"))) {
            assertThat(read.header()).isEqualTo(header);
            float[] row = new float[header.rowSize()];
            for (int[] expected : samples) {
                read.next(row);
                for (int i = 0; i < row.length; i++) {
                    assertThat(Math.round(row[i] * (depth == 16 ? 257 : 1))).isEqualTo(expected[i]);
                }
            }
            assertThatThrownBy(() -> read.next(row)).isInstanceOf(IllegalStateException.class);
        }

        BufferedImage other = ImageIO.read(new ByteArrayInputStream(file));
        for (int y = 0; y < HEIGHT; y++) {
            assertThat(other.getRaster().getPixels(0, y, WIDTH, 1, (int[]) null))
                    .as("the JDK's decoder, row %d", y)
                    .isEqualTo(samples[y]);
        }
    }

    /** Smooth, flat and noisy parts, so that every filter is the best somewhere. */
    private static int[][] samples(ImageHeader header) {
        SplittableRandom random = new SplittableRandom(header.rowSize() + header.depth());
        int largest = (1 << header.depth()) - 1;
        int count = header.channels().count();
        int[][] samples = new int[header.height()][header.rowSize()];
        for (int y = 0; y < header.height(); y++) {
            for (int i = 0; i < header.rowSize(); i++) {
                samples[y][i] = switch (y / 6) {
                    case 0 -> 77;
                    case 1 -> i / count * 1000 % largest;
                    case 2 -> y * 1000 % largest;
                    case 3 -> (i / count + y) * 500 % largest;
                    default -> random.nextInt(largest + 1);
                };
            }
        }
        return samples;
    }

    private static byte[] encode(ImageHeader header, int[][] samples) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ImageFiles.write(out, ImageFormat.PNG, new ImageRows() {
            private int y;

            @Override
            public ImageHeader header() {
                return header;
            }

            @Override
            public void next(float[] row) {
                for (int i = 0; i < row.length; i++) {
                    row[i] = samples[y][i] / (header.depth() == 16 ? 257f : 1);
                }
                y++;
            }
        });
        return out.toByteArray();
    }

    @Test
    void rowsLargerThanItsBuffersComeBack() throws IOException {
        ImageHeader header = new ImageHeader(300_000, 3, Channels.RGB, 8, ColourTags.NONE);
        int[][] samples = new int[3][header.rowSize()];
        SplittableRandom random = new SplittableRandom(5);
        for (int[] row : samples) {
            java.util.Arrays.setAll(row, _ -> random.nextInt(256));
        }
        try (ImageRows read = ImageFiles.open(new ByteArrayInputStream(encode(header, samples)), Path.of("test"))) {
            float[] row = new float[header.rowSize()];
            for (int[] expected : samples) {
                read.next(row);
                for (int i = 0; i < row.length; i++) {
                    assertThat((int) row[i]).isEqualTo(expected[i]);
                }
            }
        }
    }

    @Test
    void keepsWhatSaysHowNumbersAreMeant() throws IOException {
        byte[] profile = Profiles.displayP3();
        List<ColourTags.Chunk> chunks = List.of(
                new ColourTags.Chunk("gAMA", new byte[] {0, 0, (byte) 0xB1, (byte) 0x8F}),
                new ColourTags.Chunk("pHYs", new byte[] {0, 0, 0x0B, 0x13, 0, 0, 0x0B, 0x13, 1}));
        ImageHeader header = new ImageHeader(2, 1, Channels.RGB, 16, new ColourTags(profile, chunks));
        byte[] file = encode(header, new int[][] {{1, 2, 3, 65535, 5, 6}});
        try (ImageRows read = ImageFiles.open(new ByteArrayInputStream(file), Path.of("test"))) {
            assertThat(read.header().tags().iccProfile()).isEqualTo(profile);
            assertThat(read.header().tags().pngChunks())
                    .usingRecursiveFieldByFieldElementComparator()
                    .containsExactlyElementsOf(chunks);
            float[] row = new float[6];
            read.next(row);
            assertThat(row).containsExactly(1 / 257f, 2 / 257f, 3 / 257f, 255, 5 / 257f, 6 / 257f);
        }
    }

    @Test
    void refusesNaN() {
        ImageHeader header = new ImageHeader(1, 1, Channels.GREY, 8, ColourTags.NONE);
        assertThatThrownBy(() -> ImageFiles.write(new ByteArrayOutputStream(), ImageFormat.PNG, new ImageRows() {
                    @Override
                    public ImageHeader header() {
                        return header;
                    }

                    @Override
                    public void next(float[] row) {
                        row[0] = Float.NaN;
                    }
                }))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("NaN");
    }
}
