// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

/**
 * What is known of an image before its pixels.
 *
 * @param width columns, at least 1
 * @param height rows, at least 1
 * @param channels what the samples of a pixel are
 * @param depth bits of a sample in a file, 8 or 16
 * @param tags what the numbers mean
 */
public record ImageHeader(int width, int height, Channels channels, int depth, ColourTags tags) {
    /** Checks the ranges. */
    public ImageHeader {
        if (width < 1 || height < 1 || (depth != 8 && depth != 16)) {
            throw new IllegalArgumentException(
                    "no image has " + width + "x" + height + " pixels of " + depth + " bits per sample");
        }
    }

    /** Returns the number of samples in a row. */
    public int rowSize() {
        return Math.multiplyExact(width, channels.count());
    }

    /** Returns the header of an image of another size. */
    public ImageHeader withSize(int newWidth, int newHeight) {
        return new ImageHeader(newWidth, newHeight, channels, depth, tags);
    }

    /** Returns the header of an image with other channels. */
    public ImageHeader withChannels(Channels others) {
        return new ImageHeader(width, height, others, depth, tags);
    }

    /** Returns the header of an image that is written with 8 or 16 bits per sample. */
    public ImageHeader withDepth(int bits) {
        return new ImageHeader(width, height, channels, bits, tags);
    }
}
