// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.Tiler;
import dev.halftone.models.Upscaler;
import dev.halftone.models.image.ImageFiles;
import dev.halftone.models.image.ImageFormat;
import dev.halftone.models.image.ImageHeader;
import dev.halftone.models.image.ImageRows;
import dev.halftone.models.image.Target;
import dev.halftone.tensor.Compute;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
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
    /** What errors call it. */
    private static final Path STANDARD_INPUT = Path.of("standard input");

    private static final int BUFFER = 1 << 16;

    /** What upscales where nothing else is asked for. */
    static final String MODEL = "edsr";

    private final Console console;

    @Parameters(
            paramLabel = "INPUT",
            arity = "1..*",
            description = "The image to upscale, or several, or folders of images; - is standard input.")
    private List<Path> inputs = List.of();

    @Option(
            names = {"-o", "--output"},
            required = true,
            paramLabel = "OUTPUT",
            converter = OutputPath.Converter.class,
            description = {
                "The image to write, whose ending says the format, or the folder to write into, which is created",
                "(for one image say so with a slash: RESULTS/); - is standard output."
            })
    private OutputPath named = new OutputPath(Path.of(""), false);

    private Path output = named.path();

    @Option(
            names = {"-m", "--model"},
            paramLabel = "MODEL",
            description = "A bundled model (see: models) or a model file (default: ${DEFAULT-VALUE}).")
    private String model = MODEL;

    @Mixin
    private WidthOption width = new WidthOption();

    @Mixin
    private TargetOptions result = new TargetOptions();

    @Mixin
    private BatchOptions batch = new BatchOptions();

    @Option(
            names = "--raw",
            paramLabel = "PIXELS:WxH",
            converter = RawFrames.Converter.class,
            description = {
                "Input and output are frames of bare samples, ffmpeg's rawvideo, of this size on the input side.",
                "PIXELS is ffmpeg's gray, gray16le, rgb24, rgb48le, rgba or rgba64le."
            })
    private @Nullable RawFrames raw;

    @Option(
            names = {"-t", "--tile"},
            paramLabel = "N",
            description =
                    "Cut larger images into tiles of this edge in input pixels: less memory, but slower (default: no tiles).")
    private int tile = Upscaler.NO_TILES;

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
        output = named.path();
        if (output.toString().isEmpty()) {
            throw new UsageException("--output is empty; name a file or a folder");
        }
        if (tile < 1) {
            throw new UsageException("--tile must be at least 1, not " + tile);
        }
        if (memory != null) {
            memory.requireEnforced();
        }
        width.check();
        Target target = result.target();
        try (Compute compute = console.compute();
                Upscalers upscalers = new Upscalers(model, width, compute, tile)) {
            UpscaleJob job = new UpscaleJob(upscalers, target, model);
            Path input = inputs.getFirst();
            boolean several = inputs.size() > 1 || Files.isDirectory(input) || named.isFolder();
            Destination destination = new Destination(console, output);
            if (raw != null) {
                if (several) {
                    throw new UsageException("--raw reads one stream of frames and writes one");
                }
                return frames(job, raw, input, destination);
            }
            return several ? batch(job) : one(job, input, destination);
        }
    }

    private int one(UpscaleJob job, Path input, Destination destination) throws IOException {
        batch.requireNone(destination.isStandard());
        ImageFormat format = destination.isStandard()
                ? Objects.requireNonNullElse(batch.format(), ImageFormat.PNG)
                : ImageFormat.of(output)
                        .filter(ImageFormat::writable)
                        .orElseThrow(() -> new UsageException(
                                output + " is no folder, and an image must end with .png, .jpg, .bmp or .tif"));
        result.requireDepth(format, destination.isStandard() ? format.extension() : output.toString());
        destination.check(input);
        try (ImageRows rows = Destination.isStandard(input)
                        ? ImageFiles.open(console.in(), STANDARD_INPUT)
                        : ImageFiles.open(input);
                Progress progress = console.progress("upscale")) {
            job.requireRoom(rows.header(), input, output, format);
            UpscaleJob.Done done = job.run(
                    rows, large -> destination.write(out -> ImageFiles.write(out, format, large)), progress::update);
            progress.wipe();
            report(input, destination, done);
        }
        return ExitCode.OK;
    }

    private void report(Path input, Destination destination, UpscaleJob.Done done) {
        ImageHeader large = done.header();
        if (console.json()) {
            console.print(describe(Json.ofCommand("upscale").put("model", model), input, output, done));
        } else {
            destination.say(
                    "%s: %d x %d, %s in %.2f s", output, large.width(), large.height(), done.how(), done.seconds());
        }
    }

    private static Json describe(Json to, Path input, Path output, UpscaleJob.Done done) {
        return to.put("scale", done.scale() == Math.rint(done.scale()) ? (Number) (long) done.scale() : done.scale())
                .put("modelScale", done.modelScale())
                .put("input", input.toString())
                .put("output", output.toString())
                .put("width", done.header().width())
                .put("height", done.header().height())
                .put("how", done.how())
                .put("seconds", done.seconds());
    }

    private int frames(UpscaleJob job, RawFrames frames, Path input, Destination destination) throws IOException {
        batch.requireNone(false);
        result.requireSamePixels();
        destination.check(input);
        long start = System.nanoTime();
        Path name = Destination.isStandard(input) ? STANDARD_INPUT : input;
        long[] count = {0};
        ImageHeader large = job.result(frames.header());
        try (InputStream in = new BufferedInputStream(
                        Destination.isStandard(input) ? console.in() : Files.newInputStream(input), BUFFER);
                Progress progress = console.progress("frames")) {
            destination.write(out -> {
                for (int first = in.read(); first >= 0; first = in.read()) {
                    ImageRows frame = frames.read(first, in, name, count[0] + 1);
                    job.run(frame, rows -> RawFrames.write(rows, out), Tiler.Progress.NONE);
                    count[0]++;
                    progress.count(count[0]);
                }
            });
        }
        double seconds = (System.nanoTime() - start) * 1e-9;
        if (console.json()) {
            console.print(Json.ofCommand("upscale")
                    .put("model", model)
                    .put("input", input.toString())
                    .put("output", output.toString())
                    .put("raw", frames.pixels().toString())
                    .put("frames", count[0])
                    .put("width", large.width())
                    .put("height", large.height())
                    .put("seconds", seconds));
        } else {
            destination.say(
                    "%s: %d frames of %d x %d, %s, in %.2f s",
                    output, count[0], large.width(), large.height(), frames.pixels(), seconds);
        }
        return ExitCode.OK;
    }

    private int batch(UpscaleJob job) throws IOException {
        if (Destination.isStandard(output) || inputs.stream().anyMatch(Destination::isStandard)) {
            throw new UsageException("- is one image; name files and folders to upscale several");
        }
        if (!named.isFolder() && (Files.exists(output) || ImageFormat.of(output).isPresent())) {
            throw new UsageException(output + " is one image; name a folder to write several into");
        }
        BatchFiles.Rules rules = batch.rules();
        if (rules.format() != null) {
            result.requireDepth(rules.format(), rules.format().extension());
        }
        Path manifest = output.resolve(Manifest.NAME);
        Manifest earlier =
                !batch.resumes() ? null : Files.exists(manifest) ? Manifest.read(manifest) : Manifest.of(Map.of());
        BatchFiles files = BatchFiles.find(
                inputs,
                output,
                rules,
                earlier == null ? Set.of() : earlier.entries().keySet());
        job.upscalers().check();
        Map<String, String> settings = settings(job);
        if (earlier != null
                && !earlier.entries().isEmpty()
                && !earlier.settings().equals(settings)) {
            console.note("halftone: %s is of other settings, so every image is upscaled again", manifest);
        }
        if (!batch.resumes() && Files.exists(manifest)) {
            console.note(
                    "halftone: starting over, results in %s are replaced; --resume keeps those that are finished",
                    output);
        }
        long start = System.nanoTime();
        UpscaleBatch.Outcome outcome =
                new UpscaleBatch(console, job, output, batch.stopsOnError()).run(files, earlier, settings);
        report(outcome, (System.nanoTime() - start) * 1e-9);
        return outcome.failed().isEmpty() ? ExitCode.OK : ExitCode.SOME_FAILED;
    }

    /** Everything that the bytes of a result depend on beside the input and the result's name. */
    private Map<String, String> settings(UpscaleJob job) throws IOException {
        Map<String, String> settings = new LinkedHashMap<>();
        settings.put("version", Main.version());
        settings.put("model", model);
        settings.put("weightsSha256", job.upscalers().sha256());
        width.addTo(settings);
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
