// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.Upscaler;
import dev.halftone.models.image.ImageFiles;
import dev.halftone.models.image.ImageFormat;
import dev.halftone.models.image.ImageHeader;
import dev.halftone.models.image.ImageRows;
import dev.halftone.models.image.Target;
import dev.halftone.tensor.Compute;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Upscales an image. */
@Command(
        name = "upscale",
        description = {
            "Upscale an image (PNG, JPEG, BMP, TIFF, GIF or WebP; writes PNG, JPEG, BMP or TIFF).",
            "Transparency, grey, 16 bits and the colour profile are kept, and the picture is turned upright."
        })
final class UpscaleCommand implements Callable<Integer> {
    /** Larger ones are mistakes. */
    private static final int MAX_SCALE = 64;

    private final Console console;

    @Parameters(paramLabel = "INPUT", description = "The image to upscale.")
    private Path input = Path.of("");

    @Option(
            names = {"-o", "--output"},
            required = true,
            paramLabel = "OUTPUT",
            description = "The image to write; its ending says the format.")
    private Path output = Path.of("");

    @Option(
            names = {"-m", "--model"},
            paramLabel = "MODEL",
            description = "A bundled model (see: models) or a model file (default: ${DEFAULT-VALUE}).")
    private String model = "edsr";

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

    @Option(
            names = {"-t", "--tile"},
            paramLabel = "N",
            description = "Edge of a tile in input pixels (default: ${DEFAULT-VALUE}); smaller needs less memory.")
    private int tile = Upscaler.DEFAULT_TILE;

    @Option(
            names = "--memory",
            paramLabel = "SIZE",
            converter = MemorySize.Converter.class,
            description = "Stay within this much memory, for example 1g.")
    private @Nullable MemorySize memory;

    UpscaleCommand(Console console) {
        this.console = console;
    }

    @Override
    public Integer call() throws IOException {
        if (tile < 1) {
            throw new UsageException("--tile must be at least 1, not " + tile);
        }
        if (memory != null) {
            memory.requireEnforced();
        }
        Target target = target();
        OutputFile.checked(output);
        if (Files.exists(output) && Files.exists(input) && Files.isSameFile(input, output)) {
            throw new UsageException(output + " is the input; name another file to write");
        }
        try (ImageRows rows = ImageFiles.open(input)) {
            requireRoom(rows.header(), target);
            try (Compute compute = console.compute();
                    Upscalers upscalers = new Upscalers(model, compute, tile);
                    Progress progress = console.progress("upscale")) {
                UpscaleJob.Done done = new UpscaleJob(upscalers, target, model)
                        .run(rows, result -> ImageFiles.write(output, result), progress::update);
                progress.wipe();
                report(done);
            }
        }
        return ExitCode.OK;
    }

    private Target target() {
        ImageFormat format = ImageFormat.of(output)
                .filter(ImageFormat::writable)
                .orElseThrow(() -> new UsageException(output + " must end with .png, .jpg, .bmp or .tif"));
        if (depth != 0 && depth != 8 && depth != 16) {
            throw new UsageException("--depth must be 8 or 16, not " + depth);
        }
        if (depth > format.depth()) {
            throw new UsageException(output + " has 8 bits per sample; write .png or .tif for --depth " + depth);
        }
        return size().withAlpha(alpha).withDepth(depth);
    }

    private Target size() {
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
        return Target.NATIVE
                .times(scale == null ? 0 : scale)
                .within(width == null ? 0 : width, height == null ? 0 : height);
    }

    private void requireRoom(ImageHeader header, Target target) {
        boolean transparent = target.of(header, 1).channels().alpha();
        if (transparent && !ImageFormat.of(output).orElseThrow().holdsAlpha()) {
            throw new UsageException(output + " cannot hold the transparency of " + input
                    + "; write .png or .tif, or leave it out with --alpha drop");
        }
    }

    private void report(UpscaleJob.Done done) {
        ImageHeader result = done.header();
        if (console.json()) {
            console.print(Json.ofCommand("upscale")
                    .put("model", model)
                    .put("scale", done.scale())
                    .put("input", input.toString())
                    .put("output", output.toString())
                    .put("width", result.width())
                    .put("height", result.height())
                    .put("how", done.how())
                    .put("seconds", done.seconds()));
        } else {
            console.print(
                    "%s: %d x %d, %s in %.2f s", output, result.width(), result.height(), done.how(), done.seconds());
        }
    }
}
