// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.AtomicFile;
import dev.halftone.tensor.io.InvalidFileException;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import javax.imageio.ImageIO;
import javax.imageio.ImageReader;
import javax.imageio.stream.ImageInputStream;
import javax.imageio.stream.MemoryCacheImageInputStream;

/** Reads PNG, JPEG and BMP files and writes the same. */
public final class ImageFiles {
    /** More pixels than this do not fit a tensor of three channels. */
    private static final long MAX_PIXELS = (1L << 31) / 3 - 1;

    private static final List<String> FORMATS = List.of("png", "jpg", "jpeg", "bmp");

    private ImageFiles() {}

    /** Returns whether a file's name ends like that of an image that can be read. */
    public static boolean isImage(Path file) {
        return FORMATS.contains(extension(file));
    }

    /**
     * Reads an image, whatever its name ends with.
     *
     * @throws InvalidFileException if it does not exist, is no PNG, JPEG or BMP, is damaged, or is too large for a tensor
     */
    public static DecodedImage read(Path file) throws InvalidFileException {
        byte[] bytes;
        try {
            if (Files.isDirectory(file)) {
                throw new InvalidFileException(file, "is a folder, not an image");
            }
            if (!Files.exists(file)) {
                throw new InvalidFileException(file, "does not exist");
            }
            bytes = Files.readAllBytes(file);
        } catch (InvalidFileException e) {
            throw e;
        } catch (IOException e) {
            throw new InvalidFileException(file, "cannot be read: " + e.getMessage());
        }
        try (ImageInputStream in = new MemoryCacheImageInputStream(new ByteArrayInputStream(bytes))) {
            BufferedImage image = decode(file, in);
            return new DecodedImage(BufferedImages.toTensor(image), BufferedImages.alpha(image));
        } catch (InvalidFileException e) {
            throw e;
        } catch (IOException | RuntimeException e) {
            // The JDK's decoders throw many kinds of runtime exceptions on damaged files.
            throw new InvalidFileException(file, "is a damaged image: " + reason(e));
        }
    }

    private static BufferedImage decode(Path file, ImageInputStream in) throws IOException {
        Iterator<ImageReader> readers = ImageIO.getImageReaders(in);
        while (readers.hasNext()) {
            ImageReader reader = readers.next();
            if (FORMATS.contains(reader.getFormatName().toLowerCase(Locale.ROOT))) {
                try {
                    reader.setInput(in, true, true);
                    int width = reader.getWidth(0);
                    int height = reader.getHeight(0);
                    // A tiny file may claim any size: deflate, the best compressor of the three formats, gains at most about 1,032.
                    if ((long) width * height > Math.min(MAX_PIXELS, 8 * 1100L * Math.max(in.length(), 1 << 10))) {
                        throw new InvalidFileException(
                                file, "claims " + width + "x" + height + " pixels, more than it can hold");
                    }
                    return reader.read(0);
                } finally {
                    reader.dispose();
                }
            }
        }
        throw new InvalidFileException(file, "is not a PNG, JPEG or BMP image");
    }

    private static String reason(Exception e) {
        Throwable cause = e;
        while (cause.getCause() != null) {
            cause = cause.getCause();
        }
        String message = cause.getMessage();
        return message == null || message.isBlank() ? cause.getClass().getSimpleName() : message.lines().findFirst().orElse("");
    }

    /**
     * Writes an 8-bit image in the format that the file's name ends with (.png, .jpg, .jpeg, .bmp), atomically.
     *
     * @param rgb {@code [H, W, 3]}, whole numbers 0..255
     * @throws IllegalArgumentException if the name ends with none of these
     */
    public static void write(Path file, Tensor rgb) throws IOException {
        requireWritable(file);
        String format = extension(file);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        if (!ImageIO.write(BufferedImages.fromTensor(rgb), format, bytes)) {
            throw new IOException(file + " cannot be written: this Java has no encoder for " + format);
        }
        AtomicFile.write(file, bytes::writeTo);
    }

    /**
     * Checks that {@link #write} knows the format that the file's name ends with.
     *
     * @throws IllegalArgumentException if it does not
     */
    public static void requireWritable(Path file) {
        if (!isImage(file)) {
            throw new IllegalArgumentException(file + " must end with .png, .jpg or .bmp");
        }
    }

    private static String extension(Path file) {
        String name = file.getFileName().toString().toLowerCase(Locale.ROOT);
        return name.substring(name.lastIndexOf('.') + 1);
    }
}
