// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.SuperResolutionNetwork;
import dev.halftone.models.Upscaler;
import dev.halftone.models.Zoo;
import dev.halftone.models.image.DecodedImage;
import dev.halftone.models.image.ImageFiles;
import dev.halftone.models.image.Pixels;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Upscales an image. */
@Command(name = "upscale", description = "Upscale an image (.png, .jpg, .bmp).")
final class UpscaleCommand implements Callable<Integer> {
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
            description = "The upscaling factor (default: the model's).")
    private int scale;

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
        if (!ImageFiles.isWritable(output)) {
            throw new UsageException(output + " must end with .png, .jpg or .bmp");
        }
        if (memory != null) {
            memory.requireEnforced();
        }
        OutputFile.checked(output);
        DecodedImage image = ImageFiles.read(input);
        if (image.alpha() != null) {
            console.note("halftone: the transparency of %s is left out", input);
        }
        SuperResolutionNetwork network = Zoo.open(model, scale);
        try (Compute compute = console.compute();
                Upscaler upscaler = Upscaler.of(network, compute, tile);
                Progress progress = console.progress("upscale")) {
            long start = System.nanoTime();
            Tensor result = Pixels.toUint8(upscaler.upscale(image.rgb(), progress::update));
            double seconds = (System.nanoTime() - start) * 1e-9;
            ImageFiles.write(output, result);
            progress.wipe();
            int height = result.dim(0);
            int width = result.dim(1);
            if (console.json()) {
                console.print(Json.ofCommand("upscale")
                        .put("model", model)
                        .put("scale", network.scale())
                        .put("input", input.toString())
                        .put("output", output.toString())
                        .put("width", width)
                        .put("height", height)
                        .put("seconds", seconds));
            } else {
                console.print(
                        "%s: %d x %d, x%d by %s in %.2f s", output, width, height, network.scale(), model, seconds);
            }
        }
        return ExitCode.OK;
    }
}
