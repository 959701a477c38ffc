// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.Evaluation;
import dev.halftone.models.Evaluation.Pair;
import dev.halftone.models.Evaluation.Score;
import dev.halftone.models.ImageSource;
import dev.halftone.models.SuperResolutionNetwork;
import dev.halftone.models.Upscaler;
import dev.halftone.models.Zoo;
import dev.halftone.tensor.Compute;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Scores a network against high-resolution images, beside bicubic interpolation. */
@Command(name = "evaluate", description = "Measure PSNR and SSIM (luma) of a model on high-resolution images.")
final class EvaluateCommand implements Callable<Integer> {
    /** The least time in the networks after which their speeds are told. */
    private static final double TIMING_SECONDS = 6;

    private static final int TIMING_ROUNDS = 5;

    private final Console console;

    @Mixin
    private ModelOptions model = new ModelOptions();

    @Mixin
    private WidthOption width = new WidthOption();

    @Option(
            names = "--images",
            paramLabel = "DIR",
            description =
                    "High-resolution images (default: the project's own); the low-resolution ones are made by bicubic reduction.")
    private @Nullable Path images;

    @Option(names = "--lr", paramLabel = "DIR", description = "Low-resolution images instead, named alike or NAMExS.")
    private @Nullable Path low;

    EvaluateCommand(Console console) {
        this.console = console;
    }

    @Override
    public Integer call() throws IOException {
        width.check();
        try (Compute compute = console.compute()) {
            SuperResolutionNetwork network = Zoo.build(width.apply(model.read()), model.scale());
            int scale = network.scale();
            List<ImageSource> sources = Images.forEvaluation(images);
            List<Pair> pairs =
                    low == null ? Evaluation.pairs(compute, sources, scale) : Evaluation.pairs(sources, low, scale);
            Evaluation bicubic = Evaluation.bicubic(compute, pairs, scale);
            Evaluation result = run(console, compute, network, pairs, model.name());
            if (console.json()) {
                console.print(Json.ofCommand("evaluate")
                        .put("model", model.name())
                        .put("scale", scale)
                        .put("protocol", Evaluation.protocol(scale))
                        .put("mean", json(result.mean()))
                        .put("bicubic", json(bicubic.mean()))
                        .put(
                                "images",
                                result.images().stream()
                                        .map(score -> new Json()
                                                .put("name", score.name())
                                                .put("psnr", score.psnr())
                                                .put("ssim", score.ssim())
                                                .entries())
                                        .toList())
                        .put("seconds", result.seconds()));
            } else {
                console.print("%s x%d, %d images (%s)", model.name(), scale, pairs.size(), Evaluation.protocol(scale));
                result.images().forEach(this::print);
                print(result.mean());
                print(new Score("bicubic", bicubic.mean().psnr(), bicubic.mean().ssim()));
                console.print("%.2f s in the network on %d threads", result.seconds(), compute.threads());
            }
        }
        return ExitCode.OK;
    }

    /** Scores a network under a progress bar. */
    static Evaluation run(
            Console console, Compute compute, SuperResolutionNetwork network, List<Pair> pairs, String what) {
        try (Upscaler upscaler = Upscaler.of(network, compute);
                Progress progress = console.progress(what)) {
            // Buffers and machine code come into being in the first run, which says little about speed.
            upscaler.upscale(pairs.getFirst().low());
            return Evaluation.run(compute, pairs, network.scale(), upscaler::upscale, progress::update);
        }
    }

    /**
     * Scores two networks, and times them in turns so that both find the same machine: C2 compiles what they share in the first
     * pass over the images, and small sets are passed again until that says little.
     */
    static List<Evaluation> inTurns(
            Console console,
            Compute compute,
            List<SuperResolutionNetwork> networks,
            List<Pair> pairs,
            List<String> names) {
        List<Evaluation> scored = new ArrayList<>();
        List<List<Double>> seconds = new ArrayList<>();
        double spent = 0;
        for (int i = 0; i < networks.size(); i++) {
            scored.add(run(console, compute, networks.get(i), pairs, names.get(i)));
            seconds.add(new ArrayList<>());
            spent += scored.get(i).seconds();
        }
        for (int round = 0; round < TIMING_ROUNDS && spent < TIMING_SECONDS; round++) {
            for (int i = 0; i < networks.size(); i++) {
                double pass = run(console, compute, networks.get(i), pairs, names.get(i))
                        .seconds();
                seconds.get(i).add(pass);
                spent += pass;
            }
        }
        List<Evaluation> timed = new ArrayList<>();
        for (int i = 0; i < networks.size(); i++) {
            Evaluation e = scored.get(i);
            timed.add(seconds.get(i).isEmpty() ? e : new Evaluation(e.images(), e.mean(), median(seconds.get(i))));
        }
        return timed;
    }

    private static double median(List<Double> values) {
        return values.stream().sorted().toList().get(values.size() / 2);
    }

    private void print(Score score) {
        console.print("%-24s  %7.3f dB  %.4f", score.name(), score.psnr(), score.ssim());
    }

    private static Json json(Score score) {
        return new Json().put("psnr", score.psnr()).put("ssim", score.ssim());
    }
}
