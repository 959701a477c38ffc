// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class UpscalePipeTest {
    @TempDir
    private Path folder;

    private Path network = Path.of("");
    private Path image = Path.of("");
    private Path large = Path.of("");

    @BeforeEach
    void writeInputs() throws IOException {
        network = Samples.network(folder);
        image = Samples.images(folder).resolve("a.png");
        large = folder.resolve("large.png");
        assertThat(Run.of("upscale", image, "-o", large, "-m", network).exitCode())
                .isZero();
    }

    @Test
    void standardInputAndOutputAreFilesLikeOthers() throws IOException {
        byte[] in = Files.readAllBytes(image);
        byte[] expected = Files.readAllBytes(large);
        Run.Piped both = Run.piped(in, "upscale", "-", "-o", "-", "-m", network);
        assertThat(both.exitCode()).as(both.err()).isZero();
        assertThat(both.out()).isEqualTo(expected);
        assertThat(both.err()).startsWith("halftone: -: 200 x 192, x2 by ").hasLineCount(1);

        Path file = folder.resolve("from-standard-input.png");
        Run.Piped first = Run.piped(in, "upscale", "-", "-o", file, "-m", network);
        assertThat(first.exitCode()).isZero();
        assertThat(new String(first.out(), StandardCharsets.UTF_8)).startsWith(file + ": 200 x 192");
        assertThat(Files.readAllBytes(file)).isEqualTo(expected);

        Run.Piped jpeg = Run.piped(in, "upscale", "-", "-o", "-", "-m", network, "-f", "jpg");
        assertThat(jpeg.out()).startsWith(0xFF, 0xD8, 0xFF);
        assertThat(ImageIO.read(new ByteArrayInputStream(jpeg.out())).getWidth())
                .isEqualTo(200);
    }

    @Test
    void wrongUseOfStandardStreamsIsRefused() {
        for (String line : new String[] {
            "- -o - --json", "- - -o -", "- -o -x", "- -o out --resume", "- -o - -f gif", "- -o - -f jpg --depth 16"
        }) {
            Object[] args = ("upscale " + line).split(" ", -1);
            Run.Piped run = Run.piped(new byte[0], args);
            assertThat(run.exitCode()).as(line).isEqualTo(ExitCode.USAGE);
            assertThat(run.out()).as(line).isEmpty();
            assertThat(run.err()).as(line).hasLineCount(1);
        }
        Run.Piped nothing = Run.piped(new byte[0], "upscale", "-", "-o", "-", "-m", network);
        assertThat(nothing.exitCode()).isEqualTo(ExitCode.BAD_INPUT);
        assertThat(nothing.err()).startsWith("halftone: standard input is not a PNG");
    }

    @Test
    void aClosedPipeIsOneSentence() throws IOException {
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        OutputStream closed = new OutputStream() {
            @Override
            public void write(int b) throws IOException {
                throw new IOException("Broken pipe");
            }
        };
        int exitCode = Main.run(
                new Console(
                        new ByteArrayInputStream(Files.readAllBytes(image)),
                        closed,
                        new PrintStream(err, true, StandardCharsets.UTF_8),
                        false),
                "upscale",
                "-",
                "-o",
                "-",
                "-m",
                network.toString());
        assertThat(exitCode).isEqualTo(ExitCode.FAILED);
        assertThat(err.toString(StandardCharsets.UTF_8))
                .isEqualTo("halftone: standard output cannot be written: Broken pipe\n");
    }

    @ParameterizedTest
    @CsvSource({"gray, 1, 8", "rgb24, 3, 8", "rgba, 4, 8", "gray16le, 1, 16", "rgb48le, 3, 16", "rgba64le, 4, 16"})
    void framesAreTheSamePicturesAsFiles(String pixels, int samples, int depth) throws IOException {
        int width = 21;
        int height = 13;
        SplittableRandom random = new SplittableRandom(samples * depth);
        byte[] frames = new byte[3 * width * height * samples * depth / 8];
        random.nextBytes(frames);
        Run.Piped run = Run.piped(
                frames, "upscale", "-", "-o", "-", "-m", network, "--raw", pixels + ":" + width + "x" + height);
        assertThat(run.exitCode()).as(run.err()).isZero();
        assertThat(run.err())
                .startsWith("halftone: -: 3 frames of 42 x 26, " + pixels + ", in ")
                .hasLineCount(1);
        assertThat(run.out()).hasSize(4 * frames.length);

        // The second frame, as a file of the same samples.
        ByteBuffer in =
                ByteBuffer.wrap(frames, frames.length / 3, frames.length / 3).order(ByteOrder.LITTLE_ENDIAN);
        BufferedImage picture = picture(width, height, samples, depth);
        int[] values = new int[width * height * samples];
        Arrays.setAll(values, _ -> depth == 8 ? in.get() & 0xFF : in.getShort() & 0xFFFF);
        picture.getRaster().setPixels(0, 0, width, height, values);
        Path file = folder.resolve("frame.png");
        assertThat(ImageIO.write(picture, "png", file.toFile())).isTrue();
        assertThat(Run.of("upscale", file, "-o", large, "-m", network).exitCode())
                .isZero();
        int[] expected = ImageIO.read(large.toFile()).getRaster().getPixels(0, 0, 2 * width, 2 * height, (int[]) null);
        ByteBuffer out = ByteBuffer.wrap(run.out(), run.out().length / 3, run.out().length / 3)
                .order(ByteOrder.LITTLE_ENDIAN);
        int[] actual = new int[expected.length];
        Arrays.setAll(actual, _ -> depth == 8 ? out.get() & 0xFF : out.getShort() & 0xFFFF);
        assertThat(actual).isEqualTo(expected);
    }

    private static BufferedImage picture(int width, int height, int samples, int depth) {
        java.awt.image.ColorModel model = new java.awt.image.ComponentColorModel(
                java.awt.color.ColorSpace.getInstance(
                        samples == 1 ? java.awt.color.ColorSpace.CS_GRAY : java.awt.color.ColorSpace.CS_sRGB),
                samples == 4,
                false,
                samples == 4 ? java.awt.Transparency.TRANSLUCENT : java.awt.Transparency.OPAQUE,
                depth == 8 ? java.awt.image.DataBuffer.TYPE_BYTE : java.awt.image.DataBuffer.TYPE_USHORT);
        return new BufferedImage(model, model.createCompatibleWritableRaster(width, height), false, null);
    }

    @Test
    void framesMayBeFilesAndOfAnySize() throws IOException {
        Path in = folder.resolve("in.raw");
        Path out = folder.resolve("out.raw");
        Files.write(in, new byte[2 * 8 * 6 * 3]);
        Run run = Run.of("upscale", in, "-o", out, "-m", network, "--raw", "rgb24:8x6", "-s", 2.5);
        assertThat(run.exitCode()).as(run.err()).isZero();
        assertThat(run.out()).startsWith(out + ": 2 frames of 20 x 15, rgb24, in ");
        assertThat(Files.size(out)).isEqualTo(2L * 20 * 15 * 3);
        assertThat(Run.of("upscale", in, "-o", out, "-m", network, "--raw", "rgb24:8x6", "--json")
                        .json())
                .containsEntry("frames", 2)
                .containsEntry("width", 16)
                .containsEntry("raw", "rgb24");

        Run empty = Run.of(
                "upscale", Files.createFile(folder.resolve("empty")), "-o", out, "-m", network, "--raw", "gray:1x1");
        assertThat(empty.exitCode()).isZero();
        assertThat(empty.out()).contains(": 0 frames of 2 x 2, gray");
    }

    @Test
    void aFrameThatIsCutOffIsRefused() throws IOException {
        Run.Piped run =
                Run.piped(new byte[2 * 8 * 6 * 3 - 1], "upscale", "-", "-o", "-", "-m", network, "--raw", "rgb24:8x6");
        assertThat(run.exitCode()).isEqualTo(ExitCode.BAD_INPUT);
        assertThat(run.err()).isEqualTo("halftone: standard input ends inside frame 2\n");
        assertThat(run.out()).as("the first frame is out").hasSizeGreaterThanOrEqualTo(16 * 12 * 3);

        Path file = folder.resolve("out.raw");
        Run.Piped toFile = Run.piped(new byte[5], "upscale", "-", "-o", file, "-m", network, "--raw", "rgb24:8x6");
        assertThat(toFile.exitCode()).isEqualTo(ExitCode.BAD_INPUT);
        assertThat(file).doesNotExist();
    }

    @Test
    void refusesWhatIsNoFrameSize() {
        for (String raw : new String[] {"rgb24", "rgb24:0x5", "yuv420p:4x4", "rgb24:4x", "rgb24:999999x4", "4x4"}) {
            Run.Piped run = Run.piped(new byte[0], "upscale", "-", "-o", "-", "--raw", raw);
            assertThat(run.exitCode()).as(raw).isEqualTo(ExitCode.USAGE);
            assertThat(run.err()).contains("'" + raw + "' is not PIXELS:WIDTHxHEIGHT", "rgb24");
        }
        for (String more : new String[] {"--depth 8", "--alpha drop", "-f png", "--resume"}) {
            String line = "upscale - -o - --raw rgba:4x4 " + more;
            Object[] args = line.split(" ", -1);
            assertThat(Run.piped(new byte[0], args).exitCode()).as(more).isEqualTo(ExitCode.USAGE);
        }
    }
}
