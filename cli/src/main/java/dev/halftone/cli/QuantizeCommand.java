// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.Evaluation;
import dev.halftone.models.Evaluation.Pair;
import dev.halftone.models.ImageSource;
import dev.halftone.models.PatchSampler;
import dev.halftone.models.SuperResolutionNetwork;
import dev.halftone.models.Zoo;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.Quantization.LayerReport;
import dev.halftone.quant.QuantizedModelFile;
import dev.halftone.quant.Recipe;
import dev.halftone.quant.Recipes;
import dev.halftone.quant.Scope;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.io.InvalidFileException;
import dev.halftone.tensor.io.WeightFile;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Quantizes a network, measures it beside bicubic interpolation and its fp32 self, and saves it. */
@Command(name = "quantize", description = "Quantize a model to few bits, measure it and save it.")
final class QuantizeCommand implements Callable<Integer> {
    /** Calibration data: batches of 8 patches of 32 x 32 low-resolution pixels. */
    private static final int BATCH = 8;

    private static final int PATCH = 32;

    private final Console console;

    @Mixin
    private ModelOptions model = new ModelOptions();

    @Parameters(
            index = "1",
            paramLabel = "BITS",
            converter = Bits.Converter.class,
            description = "1bit to 8bit, or of weights and activations, like w2a4.")
    private Bits bits = new Bits(2, 2);

    @Option(
            names = "--recipe",
            paramLabel = "ID",
            description = "The algorithm (see: recipes; default: ${DEFAULT-VALUE}).")
    private String recipe = Recipes.all().getFirst().id();

    @Option(
            names = "--steps",
            paramLabel = "N",
            description = "Training steps, where the recipe trains (default: the recipe's).")
    private @Nullable Long steps;

    @Option(
            names = "--scope",
            paramLabel = "SCOPE",
            description = "The layers: body, body+upsampler or all (default: ${DEFAULT-VALUE}).")
    private String scope = Scope.BODY.id();

    @Option(
            names = "--calibration",
            paramLabel = "DIR",
            description = "Images that the bounds are chosen on (default: the project's own).")
    private @Nullable Path calibration;

    @Option(
            names = "--images",
            paramLabel = "DIR",
            description = "High-resolution images to measure on (default: the project's own).")
    private @Nullable Path images;

    @Option(
            names = "--seed",
            paramLabel = "N",
            description = "Of the choice of calibration patches (default: ${DEFAULT-VALUE}).")
    private long seed = 1;

    @Option(
            names = {"-o", "--output"},
            paramLabel = "FILE",
            description = "The quantized model (default: for example edsr-x2-w2a2.safetensors here).")
    private @Nullable Path output;

    QuantizeCommand(Console console) {
        this.console = console;
    }

    @Override
    public Integer call() throws IOException {
        Recipe algorithm = Recipes.byId(recipe)
                .orElseThrow(() -> new UsageException("there is no recipe '" + recipe + "'; `recipes` lists them"));
        if (steps != null) {
            if (steps < 1 || !algorithm.trains()) {
                throw new UsageException(
                        algorithm.trains()
                                ? "--steps must be at least 1, not " + steps
                                : "--steps: the recipe '" + recipe + "' does not train");
            }
            algorithm = algorithm.withSteps(steps);
        }
        Scope layers = Scope.parse(scope)
                .orElseThrow(() -> new UsageException("--scope must be "
                        + Arrays.stream(Scope.values()).map(Scope::id).collect(Collectors.joining(", "))
                        + ", not '" + scope + "'"));
        WeightFile source = model.read();
        if (QuantizedModelFile.recognises(source)) {
            throw new InvalidFileException(source.path(), "is quantized already; start from the fp32 weights");
        }
        SuperResolutionNetwork full = Zoo.build(source, model.scale());
        SuperResolutionNetwork low = Zoo.build(source, model.scale());
        int scale = full.scale();
        Path file = OutputFile.checked(
                output == null ? Path.of(model.stem() + "-x" + scale + "-" + bits + ".safetensors") : output);
        try (Compute compute = console.compute()) {
            List<Pair> pairs = Evaluation.pairs(compute, Images.forEvaluation(images), scale);
            PatchSampler sampler = calibration(compute, scale);

            long start = System.nanoTime();
            Quantization run = new Quantization(
                    compute,
                    low.module(),
                    new Quantization.Options(bits.weight(), bits.activation(), layers),
                    i -> sampler.at(i).input());
            try (Progress progress = console.progress("distill")) {
                run.distillFrom(
                        full.module(),
                        (step, of, loss) -> progress.update(step, of, String.format(Locale.ROOT, "loss %.3f", loss)));
                algorithm.apply(run);
            }
            List<LayerReport> reports = run.pack();
            double seconds = (System.nanoTime() - start) * 1e-9;

            Evaluation bicubic = Evaluation.bicubic(compute, pairs, scale);
            Evaluation before = EvaluateCommand.run(console, compute, full, pairs, "fp32");
            Evaluation after = EvaluateCommand.run(console, compute, low, pairs, bits.toString());

            QuantizedModelFile.write(file, low.module(), metadata(full, source, algorithm.steps()));
            QuantizeReport report = new QuantizeReport(
                    model.name(), bits, recipe, scope, full, low, reports, bicubic, before, after, seconds, file);
            if (console.json()) {
                console.print(report.json(compute));
            } else {
                report.print(console, compute, pairs);
            }
        }
        return ExitCode.OK;
    }

    private PatchSampler calibration(Compute compute, int scale) throws IOException {
        List<ImageSource> sources = Images.forCalibration(calibration);
        PatchSampler sampler =
                PatchSampler.open(compute, sources, new PatchSampler.Options(scale, PATCH, BATCH, 0, seed));
        if (sampler.photographs() == 0) {
            throw new InvalidFileException(
                    calibration == null ? Path.of("calibration") : calibration,
                    "has no image of at least " + PATCH * scale + " x " + PATCH * scale + " pixels");
        }
        return sampler;
    }

    private Map<String, String> metadata(SuperResolutionNetwork network, WeightFile source, long trained) {
        Map<String, String> m = new LinkedHashMap<>(network.metadata());
        m.put("model", model.stem());
        m.put("weight_bits", Integer.toString(bits.weight()));
        m.put("activation_bits", Integer.toString(bits.activation()));
        m.put("recipe", recipe);
        if (trained > 0) {
            m.put("steps", Long.toString(trained));
        }
        m.put("scope", scope);
        m.put("calibration", calibration == null ? "generated" : "photographs");
        m.put("seed", Long.toString(seed));
        m.put("source_sha256", source.sha256());
        return m;
    }
}
