// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.AtomicFile;
import dev.halftone.tensor.io.InvalidFileException;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import javax.imageio.IIOException;
import javax.imageio.IIOImage;
import javax.imageio.ImageIO;
import javax.imageio.ImageReader;
import javax.imageio.ImageWriteParam;
import javax.imageio.ImageWriter;
import javax.imageio.stream.ImageInputStream;
import javax.imageio.stream.ImageOutputStream;
import javax.imageio.stream.MemoryCacheImageInputStream;
import javax.imageio.stream.MemoryCacheImageOutputStream;
import org.jspecify.annotations.Nullable;

/** Reads PNG, JPEG and BMP files with the JDK's decoders, strictly, and writes the same formats atomically. */
public final class ImageFiles {
    /** More pixels than this do not fit a tensor of three channels. */
    private static final long MAX_PIXELS = Integer.MAX_VALUE / 3;

    /**
     * Pixels that one byte of a file can hold at most: deflate, the best compressor of the three formats, expands at most 1,032 times,
     * and a pixel has at least one bit.
     */
    private static final long MAX_PIXELS_PER_BYTE = 1032 * 8;

    /** JPEG is for photographs that someone looks at closely, after all this work. */
    private static final float JPEG_QUALITY = 0.95f;

    private static final List<String> FORMATS = List.of("png", "jpg", "jpeg", "bmp");

    private ImageFiles() {}

    /** Returns whether a file's name ends like that of an image that can be read and written. */
    public static boolean isImage(Path file) {
        return FORMATS.contains(extension(file));
    }

    /** Returns whether a file's name ends like that of a format with transparency, which is PNG. */
    public static boolean holdsAlpha(Path file) {
        return extension(file).equals("png");
    }

    /**
     * Reads an image, whatever its name ends with. Samples are taken as they are stored: no colour profile is applied.
     *
     * @throws InvalidFileException if it cannot be read, is no PNG, JPEG or BMP, is damaged or cut off, or is too large for a tensor or
     *     for the heap
     */
    public static DecodedImage read(Path file) throws InvalidFileException {
        byte[] bytes = content(file);
        String format = "image";
        try (ImageInputStream in = new MemoryCacheImageInputStream(new ByteArrayInputStream(bytes))) {
            ImageReader reader = reader(in);
            if (reader == null) {
                throw new InvalidFileException(file, "is not a PNG, JPEG or BMP image");
            }
            try {
                format = reader.getFormatName().toUpperCase(Locale.ROOT) + " image";
                int transparentShade =
                        PngChunks.startsAsPng(bytes) ? PngChunks.read(bytes).transparentShade() : PngChunks.NO_SHADE;
                BufferedImage image = decode(file, bytes.length, reader, in);
                Tensor rgb = BufferedImages.toTensor(image);
                Tensor alpha = transparentShade == PngChunks.NO_SHADE
                        ? BufferedImages.alpha(image)
                        : transparent(rgb, transparentShade);
                return new DecodedImage(rgb, alpha);
            } finally {
                reader.dispose();
            }
        } catch (InvalidFileException e) {
            throw e;
        } catch (IOException | RuntimeException | OutOfMemoryError e) {
            // On damaged files the JDK's decoders throw many kinds of runtime exceptions.
            Throwable cause = e;
            while (cause.getCause() != null) {
                cause = cause.getCause();
            }
            throw new InvalidFileException(
                    file,
                    cause instanceof OutOfMemoryError
                            ? "needs more memory than this JVM may use, "
                                    + (Runtime.getRuntime().maxMemory() >> 20) + " MB"
                            : "cannot be decoded as a " + format + ": " + reason(cause),
                    e);
        }
    }

    /** Returns the alpha channel of a grey image in which one shade is transparent. */
    private static Tensor transparent(Tensor rgb, int shade) {
        Tensor alpha = Tensor.zeros(rgb.dim(0), rgb.dim(1), 1);
        for (int i = 0; i < alpha.size(); i++) {
            alpha.array()[i] = rgb.array()[3 * i] == shade ? 0 : 255;
        }
        return alpha;
    }

    private static byte[] content(Path file) throws InvalidFileException {
        if (Files.isDirectory(file)) {
            throw new InvalidFileException(file, "is a folder, not an image");
        }
        if (!Files.exists(file)) {
            throw new InvalidFileException(file, "does not exist");
        }
        if (!Files.isRegularFile(file)) {
            throw new InvalidFileException(file, "is not a regular file");
        }
        try {
            if (Files.size(file) > Integer.MAX_VALUE - Byte.MAX_VALUE) {
                throw new InvalidFileException(
                        file, "has " + Files.size(file) + " bytes; images of up to 2 GiB are read");
            }
            return Files.readAllBytes(file);
        } catch (InvalidFileException e) {
            throw e;
        } catch (IOException e) {
            throw new InvalidFileException(file, "cannot be read: " + InvalidFileException.reason(e), e);
        }
    }

    private static @Nullable ImageReader reader(ImageInputStream in) throws IOException {
        for (Iterator<ImageReader> readers = ImageIO.getImageReaders(in); readers.hasNext(); ) {
            ImageReader reader = readers.next();
            if (FORMATS.contains(reader.getFormatName().toLowerCase(Locale.ROOT))) {
                return reader;
            }
            reader.dispose();
        }
        return null;
    }

    private static BufferedImage decode(Path file, int fileSize, ImageReader reader, ImageInputStream in)
            throws IOException {
        List<String> damage = new ArrayList<>();
        reader.addIIOReadWarningListener((_, warning) -> {
            if (isDamage(warning)) {
                damage.add(warning);
            }
        });
        reader.setInput(in, true, true);
        long width = reader.getWidth(0);
        long height = reader.getHeight(0);
        String size = width + "x" + height + " pixels";
        if (width < 1 || height < 1 || width * height > fileSize * MAX_PIXELS_PER_BYTE) {
            throw new InvalidFileException(
                    file, "is damaged: it claims " + size + " and has only " + fileSize + " bytes");
        }
        if (width * height > MAX_PIXELS) {
            throw new InvalidFileException(file, "has " + size + "; up to " + MAX_PIXELS + " are read");
        }
        BufferedImage image = reader.read(0);
        if (!damage.isEmpty()) {
            throw new IIOException(damage.getFirst());
        }
        return image;
    }

    /**
     * The JPEG decoder fills what it cannot read with grey and only warns. Bytes between segments are no damage: cameras write them.
     */
    private static boolean isDamage(String warning) {
        return warning.startsWith("Truncated File")
                || (warning.startsWith("Corrupt JPEG data") && !warning.contains("extraneous bytes"));
    }

    private static String reason(Throwable cause) {
        String message = cause.getMessage();
        if (message == null || message.isBlank()) {
            return cause instanceof EOFException
                    ? "it ends too early"
                    : cause.getClass().getSimpleName();
        }
        return message.lines().findFirst().orElseThrow();
    }

    /**
     * Writes an 8-bit image in the format that the file's name ends with (.png, .jpg, .jpeg, .bmp), atomically.
     *
     * @param rgb {@code [H, W, 3]}, 0..255; clamped and rounded, half to even
     * @throws IOException if it cannot be written; nothing is left behind then
     * @throws IllegalArgumentException if the name ends with none of these
     */
    public static void write(Path file, Tensor rgb) throws IOException {
        write(file, rgb, null);
    }

    /**
     * Writes an image as {@link #write(Path, Tensor)} does, with transparency.
     *
     * @param alpha {@code [H, W, 1]}, 0..255, or null for an opaque image
     * @throws IllegalArgumentException also if there is an alpha channel and the format has none, see {@link #holdsAlpha}
     */
    public static void write(Path file, Tensor rgb, @Nullable Tensor alpha) throws IOException {
        requireWritable(file);
        if (alpha != null && !holdsAlpha(file)) {
            throw new IllegalArgumentException(file + " must end with .png to hold transparency");
        }
        BufferedImage image = BufferedImages.fromTensor(rgb, alpha);
        AtomicFile.write(file, stream -> {
            ImageWriter writer =
                    ImageIO.getImageWritersByFormatName(extension(file)).next();
            try (ImageOutputStream out = new MemoryCacheImageOutputStream(stream)) {
                writer.setOutput(out);
                writer.write(null, new IIOImage(image, null, null), parameters(writer));
            } catch (IIOException e) {
                // "I/O error writing PNG file!" hides that the disk is full.
                throw e.getCause() instanceof IOException cause ? cause : e;
            } finally {
                writer.dispose();
            }
        });
    }

    private static ImageWriteParam parameters(ImageWriter writer) {
        ImageWriteParam parameters = writer.getDefaultWriteParam();
        if (writer.getOriginatingProvider().getFormatNames()[0].equalsIgnoreCase("jpeg")) {
            parameters.setCompressionMode(ImageWriteParam.MODE_EXPLICIT);
            parameters.setCompressionQuality(JPEG_QUALITY);
        }
        return parameters;
    }

    /**
     * Checks that {@link #write} knows the format that the file's name ends with.
     *
     * @throws IllegalArgumentException if it does not
     */
    public static void requireWritable(Path file) {
        if (!isImage(file)) {
            throw new IllegalArgumentException(file + " must end with .png, .jpg, .jpeg or .bmp");
        }
    }

    private static String extension(Path file) {
        Path name = file.getFileName();
        int dot = name == null ? -1 : name.toString().lastIndexOf('.');
        return name == null || dot < 0 ? "" : name.toString().substring(dot + 1).toLowerCase(Locale.ROOT);
    }
}
