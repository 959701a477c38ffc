// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.models.image.Target.Alpha;
import dev.halftone.tensor.Tensor;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TargetTest {
    @ParameterizedTest
    @CsvSource({
        "0, 0, 0, 200, 100",
        "3.1, 0, 0, 310, 155",
        "1, 0, 0, 100, 50",
        "0.33, 0, 0, 33, 16",
        "0, 1920, 0, 1920, 960",
        "0, 0, 77, 154, 77",
        "0, 1920, 1080, 1920, 960",
        "3, 1920, 500, 1000, 500",
        "0.001, 0, 0, 1, 1"
    })
    void sizes(double factor, int width, int height, int expectedWidth, int expectedHeight) {
        ImageHeader result = Target.NATIVE.times(factor).within(width, height).of(header(Channels.RGB, 16), 2);
        assertThat(result).isEqualTo(new ImageHeader(expectedWidth, expectedHeight, Channels.RGB, 16, ColourTags.NONE));
    }

    private static ImageHeader header(Channels channels, int depth) {
        return new ImageHeader(100, 50, channels, depth, ColourTags.NONE);
    }

    @Test
    void channelsAndDepth() {
        Target target = Target.NATIVE.withAlpha(Alpha.DROP).withDepth(8);
        assertThat(target.of(header(Channels.GREY_ALPHA, 16), 4).channels()).isEqualTo(Channels.GREY);
        assertThat(target.of(header(Channels.RGB_ALPHA, 16), 4).depth()).isEqualTo(8);
        assertThat(Target.NATIVE.of(header(Channels.RGB_ALPHA, 8), 4).channels())
                .isEqualTo(Channels.RGB_ALPHA);
    }

    @Test
    void refusesWhatIsNoSize() {
        for (double factor : new double[] {-1, Double.NaN, Double.POSITIVE_INFINITY}) {
            assertThatThrownBy(() -> Target.NATIVE.times(factor)).isInstanceOf(IllegalArgumentException.class);
        }
        assertThatThrownBy(() -> Target.NATIVE.within(-1, 0)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> Target.NATIVE.withDepth(12)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> Target.NATIVE.times(1e9).of(header(Channels.RGB, 8), 2))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("too many");
    }

    @Test
    void theNetworkRunsOnlyToEnlarge() throws IOException {
        List<Channels> ran = new ArrayList<>();
        for (double factor : new double[] {0.5, 1, 1.5, 2, 3}) {
            ran.clear();
            ImageRows result = Target.NATIVE.times(factor).apply(solid(4, 100, 50, 20, 255), 2, rows -> {
                ran.add(rows.header().channels());
                return twice(rows);
            });
            assertThat(ran).hasSize(factor > 1 ? 1 : 0);
            assertThat(DecodedImage.of(result).rgb().dim(1)).isEqualTo((int) (4 * factor));
        }
        Target.NATIVE.withAlpha(Alpha.MODEL).apply(solid(4, 100, 50, 20, 255), 2, rows -> {
            ran.add(rows.header().channels());
            return twice(rows);
        });
        assertThat(ran.subList(1, 3)).containsExactlyInAnyOrder(Channels.RGB, Channels.GREY);
    }

    @Test
    void transparentPixelsTakeTheColoursBesideThem() throws IOException {
        // A red disc of radius 6 on transparent black, with a soft edge whose colours the file holds exactly.
        int size = 41;
        Tensor rgb = Tensor.zeros(size, size, 3);
        Tensor alpha = Tensor.zeros(size, size, 1);
        for (int y = 0; y < size; y++) {
            for (int x = 0; x < size; x++) {
                double opacity = Math.clamp(6.5 - Math.hypot(x - 20, y - 20), 0, 1);
                alpha.set((float) Math.rint(255 * opacity), y, x, 0);
                if (alpha.get(y, x, 0) > 0) {
                    rgb.set(200, y, x, 0);
                    rgb.set(10, y, x, 1);
                    rgb.set(90, y, x, 2);
                }
            }
        }
        DecodedImage disc = new DecodedImage(rgb, alpha);
        DecodedImage bled = DecodedImage.of(new BledRows(disc.rows()));
        assertThat(Objects.requireNonNull(bled.alpha()).toArray()).isEqualTo(alpha.toArray());
        for (int y = 0; y < size; y++) {
            for (int x = 0; x < size; x++) {
                double distance = Math.hypot(x - 20, y - 20);
                if (distance < 6 + 8) {
                    assertThat(bled.rgb().get(y, x, 0)).as("%d, %d", y, x).isBetween(199.99f, 200.01f);
                    assertThat(bled.rgb().get(y, x, 2)).isBetween(89.99f, 90.01f);
                } else if (distance > 22) {
                    assertThat(bled.rgb().get(y, x, 0)).isZero();
                }
            }
        }

        // So a resize shows no dark fringe: every pixel that is seen at all is red.
        DecodedImage large = DecodedImage.of(Target.NATIVE.times(3.1).apply(disc.rows(), 2, rows -> rows));
        Tensor opacity = Objects.requireNonNull(large.alpha());
        int seen = 0;
        for (int i = 0; i < opacity.size(); i++) {
            if (opacity.array()[i] > 0.5) {
                seen++;
                assertThat(large.rgb().array()[3 * i]).isBetween(199.9f, 200.1f);
                assertThat(large.rgb().array()[3 * i + 1]).isBetween(9.9f, 10.1f);
            }
        }
        assertThat(seen).isBetween((int) (Math.PI * 18 * 18), (int) (Math.PI * 25 * 25));
    }

    @Test
    void colourIsAWeightedMeanOfWhatIsSeen() throws IOException {
        Tensor rgb = Tensor.of(new float[] {100, 0, 0, 7, 7, 7, 0, 200, 0}, 1, 3, 3);
        Tensor alpha = Tensor.of(new float[] {255, 0, 85}, 1, 3, 1);
        DecodedImage bled = DecodedImage.of(new BledRows(new DecodedImage(rgb, alpha).rows()));
        assertThat(bled.rgb().toArray()).containsExactly(100, 0, 0, 75, 50, 0, 0, 200, 0);
    }

    private static ImageRows solid(int size, float... rgba) {
        ImageHeader header = new ImageHeader(size, size, Channels.RGB_ALPHA, 8, ColourTags.NONE);
        return new ImageRows() {
            @Override
            public ImageHeader header() {
                return header;
            }

            @Override
            public void next(float[] row) {
                for (int i = 0; i < row.length; i++) {
                    row[i] = rgba[i % 4];
                }
            }
        };
    }

    /** Doubles every pixel. */
    private static ImageRows twice(ImageRows rows) {
        ImageHeader header = rows.header()
                .withSize(2 * rows.header().width(), 2 * rows.header().height());
        int count = header.channels().count();
        return new ImageRows() {
            private final float[] small = new float[header.rowSize() / 2];
            private boolean again;

            @Override
            public ImageHeader header() {
                return header;
            }

            @Override
            public void next(float[] row) throws IOException {
                if (!again) {
                    rows.next(small);
                }
                again = !again;
                Arrays.setAll(new int[row.length], i -> {
                    row[i] = small[i / count / 2 * count + i % count];
                    return 0;
                });
            }
        };
    }
}
