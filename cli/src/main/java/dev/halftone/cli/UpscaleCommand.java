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
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.regex.PatternSyntaxException;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Upscales images. */
@Command(
        name = "upscale",
        description = {
            "Upscale images (PNG, JPEG, BMP, TIFF, GIF or WebP; writes PNG, JPEG, BMP or TIFF).",
            "Transparency, grey, 16 bits and the colour profile are kept, and pictures are turned upright."
        })
final class UpscaleCommand implements Callable<Integer> {
    /** Larger ones are mistakes. */
    private static final int MAX_SCALE = 64;

    /** What to do when an image of a batch fails. */
    private enum OnError {
        SKIP,
        STOP
    }

    private final Console console;

    @Parameters(
            paramLabel = "INPUT",
            arity = "1..*",
            description = "The image to upscale, or several, or folders of images.")
    private List<Path> inputs = List.of();

    @Option(
            names = {"-o", "--output"},
            required = true,
            paramLabel = "OUTPUT",
            description = "The image to write, whose ending says the format, or the folder to write several into.")
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
            names = {"-r", "--recursive"},
            description = "Look into subfolders too; the output folder gets the same tree.")
    private boolean recursive;

    @Option(
            names = "--glob",
            paramLabel = "PATTERN",
            description = "Of folders, take only files whose name or path matches, for example '*.png'.")
    private @Nullable String glob;

    @Option(names = "--suffix", paramLabel = "TEXT", description = "Put this between name and ending, for example _x2.")
    private @Nullable String suffix;

    @Option(
            names = {"-f", "--format"},
            paramLabel = "FORMAT",
            description =
                    "Write png, jpg, bmp or tif into a folder (default: each input's format, png for gif and webp).")
    private @Nullable String format;

    @Option(
            names = "--on-error",
            paramLabel = "WHAT",
            description = "When an image of several fails: skip or stop (default: ${DEFAULT-VALUE}).")
    private OnError onError = OnError.SKIP;

    @Option(
            names = "--resume",
            description = "Keep what an earlier run into the same folder has finished, with equal settings and inputs.")
    private boolean resume;

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
        try (Compute compute = console.compute();
                Upscalers upscalers = new Upscalers(model, compute, tile)) {
            UpscaleJob job = new UpscaleJob(upscalers, target, model);
            boolean several = inputs.size() > 1 || Files.isDirectory(inputs.getFirst()) || Files.isDirectory(output);
            return several ? batch(job) : one(job, inputs.getFirst());
        }
    }

    private Target target() {
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

    private int one(UpscaleJob job, Path input) throws IOException {
        if (recursive || resume || glob != null || suffix != null || format != null) {
            throw new UsageException("--recursive, --glob, --suffix, --format and --resume are for folders; " + output
                    + " is one image");
        }
        ImageFormat written = ImageFormat.of(output)
                .filter(ImageFormat::writable)
                .orElseThrow(() -> new UsageException(output + " must end with .png, .jpg, .bmp or .tif"));
        requireDepth(written, output.toString());
        OutputFile.checked(output);
        if (Files.exists(output) && Files.exists(input) && Files.isSameFile(input, output)) {
            throw new UsageException(output + " is the input; name another file to write");
        }
        try (ImageRows rows = ImageFiles.open(input);
                Progress progress = console.progress("upscale")) {
            job.requireRoom(rows.header(), input, output, written);
            UpscaleJob.Done done = job.run(rows, result -> ImageFiles.write(output, result), progress::update);
            progress.wipe();
            report(input, done);
        }
        return ExitCode.OK;
    }

    private void requireDepth(@Nullable ImageFormat written, String what) {
        if (written != null && depth > written.depth()) {
            throw new UsageException(what + " has 8 bits per sample; write png or tif for --depth " + depth);
        }
    }

    private void report(Path input, UpscaleJob.Done done) {
        ImageHeader result = done.header();
        if (console.json()) {
            console.print(describe(Json.ofCommand("upscale").put("model", model), input, output, done));
        } else {
            console.print(
                    "%s: %d x %d, %s in %.2f s", output, result.width(), result.height(), done.how(), done.seconds());
        }
    }

    private static Json describe(Json to, Path input, Path output, UpscaleJob.Done done) {
        return to.put("scale", done.scale())
                .put("input", input.toString())
                .put("output", output.toString())
                .put("width", done.header().width())
                .put("height", done.header().height())
                .put("how", done.how())
                .put("seconds", done.seconds());
    }

    private int batch(UpscaleJob job) throws IOException {
        if (Files.exists(output)
                ? !Files.isDirectory(output)
                : ImageFormat.of(output).isPresent()) {
            throw new UsageException(output + " is one image; name a folder to write several into");
        }
        ImageFormat written = format == null ? null : writable(format);
        requireDepth(written, String.valueOf(format));
        Path manifest = output.resolve(Manifest.NAME);
        Manifest earlier = !resume ? null : Files.exists(manifest) ? Manifest.read(manifest) : Manifest.of(Map.of());
        BatchFiles files = BatchFiles.find(
                inputs,
                output,
                new BatchFiles.Rules(recursive, matcher(), suffix == null ? "" : suffix, written),
                earlier == null ? Set.of() : earlier.entries().keySet());
        job.upscalers().check();
        Map<String, String> settings = settings(job);
        if (earlier != null
                && !earlier.entries().isEmpty()
                && !earlier.settings().equals(settings)) {
            console.note("halftone: %s is of other settings, so every image is upscaled again", manifest);
        }
        long start = System.nanoTime();
        UpscaleBatch.Outcome outcome =
                new UpscaleBatch(console, job, output, onError == OnError.STOP).run(files, earlier, settings);
        report(outcome, (System.nanoTime() - start) * 1e-9);
        return outcome.failed().isEmpty() ? ExitCode.OK : ExitCode.SOME_FAILED;
    }

    private static ImageFormat writable(String name) {
        return ImageFormat.ofExtension(name)
                .filter(ImageFormat::writable)
                .orElseThrow(() -> new UsageException("--format must be png, jpg, bmp or tif, not " + name));
    }

    private @Nullable PathMatcher matcher() {
        try {
            return glob == null ? null : FileSystems.getDefault().getPathMatcher("glob:" + glob);
        } catch (PatternSyntaxException e) {
            throw new UsageException("--glob " + glob + " is no pattern: " + e.getDescription());
        }
    }

    /** Everything that the bytes of a result depend on beside the input and the result's name. */
    private Map<String, String> settings(UpscaleJob job) throws IOException {
        Map<String, String> settings = new LinkedHashMap<>();
        settings.put("version", Main.version());
        settings.put("model", model);
        settings.put("weightsSha256", job.upscalers().sha256());
        settings.put("factor", String.valueOf(job.target().factor()));
        settings.put("width", String.valueOf(job.target().width()));
        settings.put("height", String.valueOf(job.target().height()));
        settings.put("alpha", String.valueOf(job.target().alpha()));
        settings.put("depth", String.valueOf(job.target().depth()));
        return settings;
    }

    private void report(UpscaleBatch.Outcome outcome, double seconds) {
        List<String> failed =
                outcome.failed().stream().map(UpscaleBatch.Failed::sentence).toList();
        if (console.json()) {
            console.print(Json.ofCommand("upscale")
                    .put("model", model)
                    .put("output", output.toString())
                    .put("upscaled", outcome.done().size())
                    .put("kept", outcome.kept())
                    .put("failed", failed)
                    .put(
                            "images",
                            outcome.done().stream()
                                    .map(image -> describe(
                                                    new Json(),
                                                    image.item().input(),
                                                    image.item().output(),
                                                    image.done())
                                            .entries())
                                    .toList())
                    .put("seconds", seconds));
            return;
        }
        console.print(
                "%s: %d images upscaled%s%s in %.2f s",
                output,
                outcome.done().size(),
                outcome.kept() == 0 ? "" : ", " + outcome.kept() + " kept",
                failed.isEmpty() ? "" : ", " + failed.size() + " failed",
                seconds);
        failed.forEach(sentence -> console.print("failed: %s", sentence));
    }
}
