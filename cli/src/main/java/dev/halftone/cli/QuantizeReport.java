// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.Evaluation;
import dev.halftone.models.Evaluation.Pair;
import dev.halftone.models.Evaluation.Score;
import dev.halftone.models.SuperResolutionNetwork;
import dev.halftone.nn.Child;
import dev.halftone.nn.Site;
import dev.halftone.quant.BitOperations;
import dev.halftone.quant.BypassedLayer;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.Quantization.LayerReport;
import dev.halftone.quant.QuantizedLayer;
import dev.halftone.quant.TrainingReport;
import dev.halftone.quant.format.ActivationQuantizer;
import dev.halftone.quant.format.FullPrecision;
import dev.halftone.quant.format.LevelQuantizer;
import dev.halftone.quant.format.NormalizedQuantizer;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.LevelTable;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.io.AtomicFile;
import dev.halftone.tensor.kernels.ChannelNormalization;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.Kernels;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * What {@code quantize} tells.
 *
 * @param model what the user called the model
 * @param full the network in fp32
 * @param low the quantized one
 * @param layers the quantized layers
 * @param bicubic the score of bicubic interpolation
 * @param before the score in fp32
 * @param after the score of the packed network
 * @param effort what quantizing took
 * @param file where the quantized model is
 */
record QuantizeReport(
        String model,
        Widths bits,
        String recipe,
        String scope,
        SuperResolutionNetwork full,
        SuperResolutionNetwork low,
        List<LayerReport> layers,
        Evaluation bicubic,
        Evaluation before,
        Evaluation after,
        Effort effort,
        Path file) {
    /**
     * What it took to quantize.
     *
     * @param seconds of the recipe, not of loading and measuring
     * @param peakHeap bytes
     */
    record Effort(double seconds, long peakHeap) {}

    Json json(Compute compute) throws IOException {
        return Json.ofCommand("quantize")
                .put("model", model)
                .put("scale", full.scale())
                .put("bits", new Json().put("weight", bits.weight()).put("activation", bits.activation()))
                .put("recipe", recipe)
                .put("scope", scope)
                .put("psnr", scores(Score::psnr))
                .put("ssim", scores(Score::ssim))
                .put("bytes", new Json().put("fp32", fullBytes()).put("quantized", Files.size(file)))
                .put("effectiveBitsPerWeight", bitsPerWeight())
                .put(
                        "seconds",
                        new Json()
                                .put("quantize", effort.seconds())
                                .put("fp32", before.seconds())
                                .put("quantized", after.seconds()))
                .put(
                        "layers",
                        layers.stream().map(layer -> entry(layer).entries()).toList())
                .put("backend", InfoCommand.backend(compute))
                .put("output", file.toString());
    }

    /**
     * Writes a file with all of {@link #json}, and more about every layer, every image and the training.
     *
     * @param settings what the result depends on
     */
    void write(Path to, Compute compute, Quantization run, Map<String, String> settings) throws IOException {
        Map<String, Double> errors = run.outputErrors();
        BitOperations operations = operations(compute);
        String report = json(compute)
                .put("version", Main.version())
                .put("settings", settings)
                .put(
                        "images",
                        IntStream.range(0, after.images().size())
                                .mapToObj(i -> new Json()
                                        .put("name", after.images().get(i).name())
                                        .put(
                                                "psnr",
                                                scores(
                                                                Score::psnr,
                                                                e -> e.images().get(i))
                                                        .entries())
                                        .put(
                                                "ssim",
                                                scores(
                                                                Score::ssim,
                                                                e -> e.images().get(i))
                                                        .entries())
                                        .entries())
                                .toList())
                .put("execution", Execution.of(full.module(), layers).json())
                .put("perPixel", json(operations))
                .put("peakHeapBytes", effort.peakHeap())
                .put("trained", run.trained().stream().map(QuantizeReport::json).toList())
                .put(
                        "layers",
                        layers.stream()
                                .map(layer -> entry(layer)
                                        .put(
                                                "multiplyAddsPerPixel",
                                                operations.layers().get(layer.name()))
                                        .put("weightError", layer.weightBits() == 0 ? null : layer.weightError())
                                        .put("activationError", layer.activationError())
                                        .put("outputError", errors.get(layer.name()))
                                        .put("activation", activation(layer.activation()))
                                        .put("measures", layer.measures())
                                        .entries())
                                .toList())
                .toString();
        AtomicFile.write(to, out -> out.write((report + "\n").getBytes(StandardCharsets.UTF_8)));
    }

    private static @Nullable Object activation(ActivationQuantizer quantizer) {
        return switch (quantizer) {
            case UniformQuantizer(List<UniformGrid> grids) ->
                new Json()
                        .put("lower", grids.stream().map(UniformGrid::lower).toList())
                        .put("upper", grids.stream().map(UniformGrid::upper).toList())
                        .entries();
            case LevelQuantizer(LevelTable table) ->
                new Json().put("levels", table.toArray()).entries();
            case NormalizedQuantizer(ChannelNormalization normalization, ActivationQuantizer normalized) ->
                new Json()
                        .put("offset", normalization.offset().toArray())
                        .put("gain", normalization.gain().toArray())
                        .put("normalized", activation(normalized))
                        .entries();
            case FullPrecision _ -> null;
        };
    }

    private static Object json(TrainingReport trained) {
        return new Json()
                .put("pass", trained.pass())
                .put("steps", trained.steps())
                .put("seconds", trained.seconds())
                .put(
                        "heldBack",
                        trained.validations().stream()
                                .map(v -> new Json()
                                        .put("step", v.step())
                                        .put("error", v.error())
                                        .entries())
                                .toList())
                .entries();
    }

    private Json scores(ToDoubleFunction<Score> score) {
        return scores(score, Evaluation::mean);
    }

    private Json scores(ToDoubleFunction<Score> score, Function<Evaluation, Score> of) {
        return new Json()
                .put("bicubic", score.applyAsDouble(of.apply(bicubic)))
                .put("fp32", score.applyAsDouble(of.apply(before)))
                .put("quantized", score.applyAsDouble(of.apply(after)));
    }

    private BitOperations operations(Compute compute) {
        return BitOperations.of(compute, full.module(), layers);
    }

    /** Returns what an output pixel costs. */
    private static Json json(BitOperations operations) {
        return new Json()
                .put("multiplyAdds", operations.multiplyAdds())
                .put(
                        "bitOperations",
                        new Json().put("fp32", operations.fp32()).put("quantized", operations.quantized()));
    }

    private static Json entry(LayerReport layer) {
        return new Json()
                .put("name", layer.name())
                .put("weightBits", layer.weightBits())
                .put("effectiveBits", layer.effectiveBits())
                .put("activationBits", layer.activationBits())
                .put("packed", layer.packed());
    }

    /** Prints a table; {@code pairs} are what was measured on. */
    void print(Console console, Compute compute, List<Pair> pairs) throws IOException {
        double megapixels = pairs.stream()
                .mapToDouble(p -> 1e-6 * p.high().dim(0) * p.high().dim(1))
                .sum();
        Kernels kernels = KernelProvider.kernels();
        console.print(
                "%s x%d, %s by %s (scope %s), measured on %d images (%s)",
                model, full.scale(), bits.label(), recipe, scope, pairs.size(), Evaluation.protocol(full.scale()));
        console.print("");
        console.print("          %10s  %6s  %11s  %12s", "PSNR", "SSIM", "size", "speed");
        console.print(
                "bicubic   %7.2f dB  %6.4f",
                bicubic.mean().psnr(), bicubic.mean().ssim());
        row(console, "fp32", before, fullBytes(), megapixels);
        row(console, bits.label(), after, Files.size(file), megapixels);
        console.print("");
        Execution execution = Execution.of(full.module(), layers);
        console.print(
                "%d of %d layers run on packed codes, %d on dequantized weights; %.2f bits per weight with all that they need; fp32: %s",
                execution.packed(), execution.layers(), execution.dequantized(), bitsPerWeight(), unquantized());
        long integers = layers.stream()
                .filter(layer -> layer.measures().containsKey("integer"))
                .count();
        if (integers > 0) {
            console.print(
                    "%d layers compute in integers alone, %d of them with codes as outputs; all else is fp32",
                    integers,
                    layers.stream()
                            .filter(layer -> layer.measures().getOrDefault("integer", 32.0) < 32)
                            .count());
        }
        BitOperations operations = operations(compute);
        console.print(
                "%.1f million bit operations per pixel of the result, 1/%.0f of fp32 (multiply-adds x weight bits x activation bits)",
                operations.quantized() * 1e-6, operations.fp32() / operations.quantized());
        console.print(
                "%s kernels, %d-bit, %d threads; quantized in %.1f s with %.1f GB of heap at most",
                kernels.name(), kernels.vectorBits(), compute.threads(), effort.seconds(), effort.peakHeap() * 1e-9);
        console.print("saved to %s; try: upscale IN.png -o OUT.png -m %s", file, file);
    }

    private static void row(Console console, String name, Evaluation e, long bytes, double megapixels) {
        console.print(
                "%-8s  %7.2f dB  %6.4f  %8.1f kB  %7.2f MP/s",
                name, e.mean().psnr(), e.mean().ssim(), bytes * 1e-3, megapixels / e.seconds());
    }

    private boolean isQuantized(Site site) {
        return Execution.of(site, layers).findAny().isPresent();
    }

    /** Returns the names of the layers that stay fp32; those that differ in numbers only are one, with stars and their count. */
    private String unquantized() {
        Map<String, List<String>> alike = full.module().sites().stream()
                .filter(site -> !isQuantized(site))
                .map(Site::name)
                .collect(Collectors.groupingBy(
                        name -> name.replaceAll("\\d+", "*"), LinkedHashMap::new, Collectors.toList()));
        if (alike.isEmpty()) {
            return "none";
        }
        return alike.entrySet().stream()
                .map(e -> e.getValue().size() == 1
                        ? e.getValue().getFirst()
                        : e.getKey() + " (" + e.getValue().size() + ")")
                .collect(Collectors.joining(", "));
    }

    /** Returns the bytes of all parameters in fp32. */
    private long fullBytes() {
        return full.module().parameters().values().stream()
                .mapToLong(p -> (long) Float.BYTES * p.value().size())
                .sum();
    }

    private double bitsPerWeight() {
        return bitsPerWeight(low);
    }

    /** Returns what a weight of a quantized layer takes in the file, its share of the bounds included. */
    static double bitsPerWeight(SuperResolutionNetwork network) {
        long stored = 0;
        long weights = 0;
        for (Child slot : network.module().descendants().values()) {
            if (slot.module() instanceof QuantizedLayer layer) {
                stored += layer.storedBits();
                weights += layer.stored().shape().size();
            } else if (slot.module() instanceof BypassedLayer around) {
                stored += around.storedBits();
            }
        }
        return (double) stored / weights;
    }
}
