// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import static org.assertj.core.api.Assertions.assertThat;

import dev.halftone.models.procedural.ProceduralImages;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.InvalidFileException;
import dev.halftone.testing.Golden;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.zip.CRC32;
import javax.imageio.IIOImage;
import javax.imageio.ImageIO;
import javax.imageio.ImageWriteParam;
import javax.imageio.ImageWriter;
import javax.imageio.stream.MemoryCacheImageOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Damaged files: whatever the bytes are, reading ends with an image or an {@link InvalidFileException}. */
class ImageFilesFuzzTest {
    private static final int MUTANTS = 2_000;
    private static final long SEED = Long.getLong("halftone.fuzz.seed", 4711);

    @TempDir
    Path folder;

    @Test
    @Timeout(300)
    void damagedFilesAreReadOrRefused() throws Exception {
        List<Map.Entry<String, byte[]>> originals = List.copyOf(originals().entrySet());
        SplittableRandom random = new SplittableRandom(SEED);
        Map<String, Integer> refused = new LinkedHashMap<>();
        for (int i = 0; i < MUTANTS; i++) {
            String name = originals.get(i % originals.size()).getKey();
            Path file = Files.write(
                    folder.resolve("mutant"),
                    mutate(originals.get(i % originals.size()).getValue(), random));
            String as = "seed " + SEED + ", mutant " + i + " of " + name;
            try {
                Tensor rgb = ImageFiles.read(file).rgb();
                for (float v : rgb.array()) {
                    if (!(v >= 0 && v <= 255)) {
                        throw new AssertionError(as + " has the value " + v);
                    }
                }
            } catch (InvalidFileException e) {
                refused.merge(name, 1, Integer::sum);
                assertThat(e.getMessage()).as(as).startsWith(file + " ").doesNotContain("\n");
            } catch (RuntimeException | Error e) {
                throw new AssertionError(as, e);
            }
        }
        // A few of each kind are refused: the mutants do reach what checks them.
        assertThat(refused).hasSize(originals.size());
    }

    private static Map<String, byte[]> originals() throws IOException {
        Map<String, byte[]> files = new LinkedHashMap<>();
        BufferedImage rgb = BufferedImages.fromTensor(ProceduralImages.image(7, 23, 31));
        BufferedImage grey = new BufferedImage(31, 23, BufferedImage.TYPE_BYTE_GRAY);
        grey.getGraphics().drawImage(rgb, 0, 0, null);
        BufferedImage indexed = new BufferedImage(31, 23, BufferedImage.TYPE_BYTE_INDEXED);
        indexed.getGraphics().drawImage(rgb, 0, 0, null);
        for (String format : new String[] {"png", "jpeg", "bmp"}) {
            files.put(format + " rgb", encode(rgb, format, ""));
            files.put(format + " grey", encode(grey, format, ""));
        }
        files.put("jpeg progressive", encode(rgb, "jpeg", "progressive"));
        files.put("bmp palette", encode(indexed, "bmp", ""));
        files.put("bmp run lengths", encode(indexed, "bmp", "BI_RLE8"));
        files.put("tiff rgb", encode(rgb, "tiff", "LZW"));
        files.put("tiff grey", encode(grey, "tiff", "Deflate"));
        files.put("gif", encode(indexed, "gif", ""));
        int[] argb = new SplittableRandom(7).ints(31 * 23).toArray();
        files.put(
                "webp",
                new WebpBuilder(31, 23, false, true, false).pixels(argb, true).end());
        for (String name : new String[] {"palette8", "rgba8", "gray16"}) {
            files.put(
                    "png " + name,
                    Files.readAllBytes(Golden.folder().resolve("png").resolve(name + ".png")));
        }
        return files;
    }

    private static byte[] encode(BufferedImage image, String format, String mode) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        ImageWriter writer = ImageIO.getImageWritersByFormatName(format).next();
        ImageWriteParam parameters = writer.getDefaultWriteParam();
        if (mode.equals("progressive")) {
            parameters.setProgressiveMode(ImageWriteParam.MODE_DEFAULT);
        } else if (!mode.isEmpty()) {
            parameters.setCompressionMode(ImageWriteParam.MODE_EXPLICIT);
            parameters.setCompressionType(mode);
        }
        try (MemoryCacheImageOutputStream out = new MemoryCacheImageOutputStream(bytes)) {
            writer.setOutput(out);
            writer.write(null, new IIOImage(image, null, null), parameters);
        } finally {
            writer.dispose();
        }
        return bytes.toByteArray();
    }

    private static byte[] mutate(byte[] original, SplittableRandom random) {
        byte[] bytes = original.clone();
        for (int k = random.nextInt(1, 8); k > 0; k--) {
            // Half of the changes hit the headers; extreme values are the interesting ones.
            int at = random.nextInt(random.nextBoolean() ? Math.min(64, bytes.length) : bytes.length);
            bytes[at] = switch (random.nextInt(4)) {
                case 0 -> (byte) 0xFF;
                case 1 -> 0;
                case 2 -> (byte) (bytes[at] ^ (1 << random.nextInt(8)));
                default -> (byte) random.nextInt(256);
            };
        }
        switch (random.nextInt(6)) {
            case 0 -> bytes = Arrays.copyOf(bytes, random.nextInt(bytes.length));
            case 1 -> {
                int from = random.nextInt(bytes.length);
                int to = random.nextInt(bytes.length);
                int length = Math.min(random.nextInt(1, 40), bytes.length - Math.max(from, to));
                System.arraycopy(bytes, from, bytes, to, length);
            }
            default -> {}
        }
        // With right checksums, half of the PNG mutants get past the first check and into the decoder.
        boolean png = ImageFormat.of(bytes).equals(Optional.of(ImageFormat.PNG));
        return random.nextBoolean() && png ? withRightChecksums(bytes) : bytes;
    }

    private static byte[] withRightChecksums(byte[] png) {
        ByteBuffer buffer = ByteBuffer.wrap(png);
        List<Integer> starts = new ArrayList<>();
        for (int at = 8; at >= 8 && at <= png.length - 12; ) {
            int length = buffer.getInt(at);
            if (length < 0 || length > png.length - at - 12) {
                break;
            }
            starts.add(at);
            at += 12 + length;
        }
        for (int at : starts) {
            int length = buffer.getInt(at);
            CRC32 crc = new CRC32();
            crc.update(png, at + 4, length + 4);
            buffer.putInt(at + 8 + length, (int) crc.getValue());
        }
        return png;
    }
}
