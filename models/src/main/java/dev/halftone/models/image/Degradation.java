// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.SplittableRandom;
import javax.imageio.IIOImage;
import javax.imageio.ImageIO;
import javax.imageio.ImageWriteParam;
import javax.imageio.ImageWriter;
import javax.imageio.stream.ImageOutputStream;

/** What happens to pictures before anybody enlarges them, for measuring how well a method bears it. Images are {@code [H, W, 3]}, 0..255. */
public final class Degradation {
    private Degradation() {}

    /** Returns the image with white Gaussian noise, in whole numbers; the same seed gives the same noise. */
    public static Tensor noise(Tensor image, double deviation, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        Tensor noisy = image.copy();
        for (int i = 0; i < noisy.size(); i++) {
            noisy.array()[i] += (float) (deviation * random.nextGaussian());
        }
        return Pixels.toUint8(noisy);
    }

    /**
     * Returns the image as it comes back from a JPEG file of the JDK's encoder, which halves the resolution of colour.
     *
     * @param quality 0 to 1, where 0.75 is libjpeg's 75
     */
    public static Tensor jpeg(Tensor image, float quality) {
        int height = image.dim(0);
        int width = image.dim(1);
        Tensor whole = Pixels.toUint8(image);
        BufferedImage picture = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                picture.setRGB(
                        x,
                        y,
                        ((int) whole.get(y, x, 0) << 16) | ((int) whole.get(y, x, 1) << 8) | (int) whole.get(y, x, 2));
            }
        }
        try {
            BufferedImage back = ImageIO.read(new ByteArrayInputStream(encoded(picture, quality)));
            Tensor result = Tensor.zeros(Shape.of(height, width, 3));
            for (int y = 0; y < height; y++) {
                for (int x = 0; x < width; x++) {
                    int rgb = back.getRGB(x, y);
                    for (int c = 0; c < 3; c++) {
                        result.set((rgb >> (16 - 8 * c)) & 255, y, x, c);
                    }
                }
            }
            return result;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static byte[] encoded(BufferedImage picture, float quality) throws IOException {
        ImageWriter writer = ImageIO.getImageWritersByFormatName("jpeg").next();
        try {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            try (ImageOutputStream out = ImageIO.createImageOutputStream(bytes)) {
                writer.setOutput(out);
                ImageWriteParam how = writer.getDefaultWriteParam();
                how.setCompressionMode(ImageWriteParam.MODE_EXPLICIT);
                how.setCompressionQuality(quality);
                writer.write(null, new IIOImage(picture, null, null), how);
            }
            return bytes.toByteArray();
        } finally {
            writer.dispose();
        }
    }
}
