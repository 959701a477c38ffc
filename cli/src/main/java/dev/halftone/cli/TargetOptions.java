// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.image.ImageFormat;
import dev.halftone.models.image.Target;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** What the result is to be. */
final class TargetOptions {
    /** Larger ones are mistakes. */
    private static final int MAX_SCALE = 64;

    @Option(
            names = {"-s", "--scale"},
            paramLabel = "S",
            description = {
                "How many times as large, for example 3.1 (default: as the model makes it).",
                "What the nearest model does not reach exactly is done by a bicubic resize."
            })
    private @Nullable Double scale;

    @Option(
            names = "--width",
            paramLabel = "N",
            description = "Make the image N columns wide instead of a factor; with --height, fit it into the box.")
    private @Nullable Integer width;

    @Option(names = "--height", paramLabel = "N", description = "Make the image N rows high instead of a factor.")
    private @Nullable Integer height;

    @Option(
            names = "--alpha",
            paramLabel = "HOW",
            description = "Transparency: bicubic, model (sharper and slower) or drop (default: ${DEFAULT-VALUE}).")
    private Target.Alpha alpha = Target.Alpha.BICUBIC;

    @Option(
            names = "--depth",
            paramLabel = "BITS",
            description = "Bits per sample of the output, 8 or 16 (default: the input's; JPEG and BMP have 8).")
    private int depth;

    /** Returns the target. */
    Target target() {
        if (scale != null && (width != null || height != null)) {
            throw new UsageException("--scale and --width or --height each say how large; give one of them");
        }
        if (scale != null && !(scale > 0 && scale <= MAX_SCALE)) {
            throw new UsageException("--scale must be above 0 and at most " + MAX_SCALE + ", not " + scale);
        }
        for (Integer pixels : new Integer[] {width, height}) {
            if (pixels != null && pixels < 1) {
                throw new UsageException("--width and --height must be at least 1, not " + pixels);
            }
        }
        if (depth != 0 && depth != 8 && depth != 16) {
            throw new UsageException("--depth must be 8 or 16, not " + depth);
        }
        return Target.NATIVE
                .times(scale == null ? 0 : scale)
                .within(width == null ? 0 : width, height == null ? 0 : height)
                .withAlpha(alpha)
                .withDepth(depth);
    }

    /** Checks that a format has the depth that is asked for; {@code what} is what the user calls it. */
    void requireDepth(ImageFormat format, String what) {
        if (depth > format.depth()) {
            throw new UsageException(what + " has 8 bits per sample; write png or tif for --depth " + depth);
        }
    }

    /** Checks that the pixels are to stay what they are, as those of bare frames must. */
    void requireSamePixels() {
        if (depth != 0 || alpha == Target.Alpha.DROP) {
            throw new UsageException("--raw frames keep their kind of pixels; leave out --depth and --alpha drop");
        }
    }
}
