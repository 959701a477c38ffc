// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.nn.Graph;
import dev.halftone.nn.Module;
import dev.halftone.nn.Site.Role;
import dev.halftone.nn.Value;
import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Pass;
import dev.halftone.quant.QuantizableLayer;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.SiteState;
import dev.halftone.quant.WeightOperand;
import dev.halftone.quant.calibration.Calibrator;
import dev.halftone.quant.calibration.Histogram;
import dev.halftone.quant.calibration.MinMax;
import dev.halftone.quant.calibration.Samples;
import dev.halftone.quant.calibration.Tails;
import dev.halftone.quant.format.ActivationQuantizer;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Chooses the levels of weights and inputs by what a layer answers, where the network's output depends on it (after PTQ4ViT, Yuan et al.
 * 2022, Hessian guided metric): of some candidates, that of least {@code sum (dL/dO)^2 (O' - O)^2} over the layer's outputs {@code O}; weights
 * and inputs in turns, each on what has been chosen for the other. A weight has a grid for each output channel, whose candidates are the
 * min-max range and shrunken ones; so has an input, per tensor, but what a softmax or a GELU has made gets two ranges ({@link TwinRanges}).
 *
 * <p>The paper differentiates a classifier's loss. Here the derivative is that of the output in random directions, as in {@link
 * GradientOutliers}.
 *
 * <p>The report has {@code searchedFrom}, the error of the first candidates (min-max ranges; even steps up to 1 for probabilities), and
 * {@code searchedTo}, relative to the outputs weighted alike.
 *
 * @param rounds how often weights and inputs are gone through
 * @param seed of the directions
 */
public record SearchScales(int rounds, long seed) implements Pass {
    /** Of the calibration images, cropped. */
    private static final int IMAGES = 8;

    private static final int SIDE = 24;
    private static final int DIRECTIONS = 2;

    /** Candidates shrink by this. */
    private static final double FACTOR = 0.85;

    private static final int FACTORS = 16;

    /** Of the twin ranges of probabilities: they end at 1 to {@code 2^-5}, and the larger step is 1 to {@code 2^5} of the smaller. */
    private static final int TOPS = 6;

    private static final int RATIOS = 6;

    /** The least value of a GELU. */
    private static final double GELU_MINIMUM = -0.16997;

    private static final int ROWS = 512;

    /** Computes a layer, shows its input and output, and has a gradient with respect to the latter. */
    private static final class Probe extends Module {
        private final SiteState site;
        private @Nullable Value nothing;
        private @Nullable Tensor input;
        private @Nullable Tensor output;

        Probe(SiteState site) {
            this.site = site;
            child("layer", site.layer().module());
        }

        @Override
        public Value forward(Value x) {
            Value y = site.layer().module().forward(x);
            nothing = x.graph().variable(Tensor.zeros(y.shape()));
            input = x.tensor();
            output = y.tensor();
            return y.add(nothing);
        }
    }

    /**
     * What a layer should compute.
     *
     * @param weight of the errors of the output, of the same shape
     */
    private record Seen(Tensor input, Tensor output, Tensor weight) {}

    /** Checks the range. */
    public SearchScales {
        if (rounds < 1) {
            throw new IllegalArgumentException("a search takes at least 1 round, not " + rounds);
        }
    }

    @Override
    public String id() {
        return "search-scales(" + rounds + (rounds == 1 ? " round)" : " rounds)");
    }

    @Override
    public void apply(Quantization run) {
        Map<InputOperand, Histogram> inputs = run.observeInputs();
        Map<SiteState, Seen> all = observe(run);
        for (SiteState site : run.sites()) {
            Seen seen = all.get(site);
            if (seen == null) {
                throw new IllegalStateException(site.site().name() + " was not seen");
            }
            search(run, site, inputs, seen);
        }
    }

    private Map<SiteState, Seen> observe(Quantization run) {
        Map<SiteState, Probe> probes = new LinkedHashMap<>();
        Graph graph = Graph.recording(run.compute());
        Value y;
        try {
            for (SiteState site : run.sites()) {
                Probe probe = new Probe(site);
                probes.put(site, probe);
                site.replace(probe);
            }
            y = run.network().forward(graph.constant(cropped(run.images())));
        } finally {
            run.sites().forEach(SiteState::restore);
        }
        SplittableRandom random = new SplittableRandom(seed);
        Map<SiteState, Seen> all = new LinkedHashMap<>();
        for (int d = 0; d < DIRECTIONS; d++) {
            var gradients = graph.backward(y, GradientOutliers.direction(y.shape(), random));
            probes.forEach((site, probe) -> {
                Value nothing = probe.nothing;
                Tensor input = probe.input;
                Tensor output = probe.output;
                if (nothing == null || input == null || output == null) {
                    throw new IllegalStateException(site.site().name() + " was not run");
                }
                Tensor gradient = gradients.of(nothing);
                Tensor sum = all.computeIfAbsent(site, s -> new Seen(input, output, Tensor.zeros(output.shape())))
                        .weight();
                for (int i = 0; i < sum.size(); i++) {
                    float g = gradient.array()[gradient.offset() + i];
                    sum.array()[i] += g * g;
                }
            });
        }
        return all;
    }

    private static Tensor cropped(Tensor images) {
        int n = Math.min(IMAGES, images.dim(0));
        int height = Math.min(SIDE, images.dim(1));
        int width = Math.min(SIDE, images.dim(2));
        Tensor crops = Tensor.zeros(n, height, width, images.dim(3));
        int row = width * images.dim(3);
        for (int i = 0; i < n * height; i++) {
            int from = (i / height * images.dim(1) + i % height) * images.dim(2) * images.dim(3);
            System.arraycopy(images.array(), images.offset() + from, crops.array(), i * row, row);
        }
        return crops;
    }

    private void search(Quantization run, SiteState site, Map<InputOperand, Histogram> inputs, Seen seen) {
        List<List<UniformQuantizer>> weightCandidates =
                site.weights().stream().map(SearchScales::candidates).toList();
        List<List<ActivationQuantizer>> inputCandidates = IntStream.range(
                        0, site.inputs().size())
                .mapToObj(i -> candidates(site, i, inputs))
                .toList();
        for (int i = 0; i < site.weights().size(); i++) {
            site.weights().get(i).quantize(weightCandidates.get(i).getFirst());
        }
        for (int i = 0; i < site.inputs().size(); i++) {
            site.inputs().get(i).quantize(inputCandidates.get(i).getFirst(), 0);
        }
        double power = Math.max(sum(errors(run, Tensor.zeros(seen.output().shape()), seen)), Double.MIN_NORMAL);
        site.measure("searchedFrom", sum(answer(run, site, seen)) / power);
        for (int round = 0; round < rounds; round++) {
            searchWeights(run, site, weightCandidates, seen);
            searchInputs(run, site, inputCandidates, seen);
        }
        site.measure("searchedTo", sum(answer(run, site, seen)) / power);
        for (InputOperand input : site.inputs()) {
            Histogram histogram = inputs.get(input);
            if (histogram != null) {
                input.quantize(
                        input.quantizer(),
                        CalibrateActivations.relativeError(histogram, QuantizableLayer.levels(input.quantizer())));
            }
        }
    }

    /** An output channel's error is its own weights' alone, so each has the best of the candidates after one pass through them. */
    private static void searchWeights(
            Quantization run, SiteState site, List<List<UniformQuantizer>> candidates, Seen seen) {
        if (candidates.isEmpty()) {
            return;
        }
        int outputs = seen.output().dim(-1);
        double[] least = new double[outputs];
        Arrays.fill(least, Double.POSITIVE_INFINITY);
        int[] best = new int[outputs];
        for (int k = 0; k < candidates.getFirst().size(); k++) {
            for (int i = 0; i < candidates.size(); i++) {
                site.weights().get(i).quantize(candidates.get(i).get(k));
            }
            double[] errors = answer(run, site, seen);
            for (int c = 0; c < outputs; c++) {
                if (errors[c] < least[c]) {
                    least[c] = errors[c];
                    best[c] = k;
                }
            }
        }
        int own = outputs / candidates.size();
        for (int i = 0; i < candidates.size(); i++) {
            List<UniformGrid> grids = new ArrayList<>();
            for (int c = 0; c < own; c++) {
                grids.add(candidates.get(i).get(best[i * own + c]).grid(c));
            }
            site.weights().get(i).quantize(new UniformQuantizer(grids));
        }
    }

    /** The parts of a layer have outputs of their own and are searched at once; the operands of attention one after the other. */
    private static void searchInputs(
            Quantization run, SiteState site, List<List<ActivationQuantizer>> candidates, Seen seen) {
        int outputs = seen.output().dim(-1);
        boolean parts = !site.weights().isEmpty();
        int turns = parts ? 1 : candidates.size();
        for (int turn = 0; turn < turns; turn++) {
            List<InputOperand> operands = parts ? site.inputs() : site.inputs().subList(turn, turn + 1);
            List<List<ActivationQuantizer>> own = parts ? candidates : candidates.subList(turn, turn + 1);
            int count = own.getFirst().size();
            if (count == 1) {
                continue;
            }
            int channels = outputs / operands.size();
            double[] least = new double[operands.size()];
            Arrays.fill(least, Double.POSITIVE_INFINITY);
            int[] best = new int[operands.size()];
            for (int k = 0; k < count; k++) {
                for (int i = 0; i < operands.size(); i++) {
                    operands.get(i).quantize(own.get(i).get(k), 0);
                }
                double[] errors = answer(run, site, seen);
                for (int i = 0; i < operands.size(); i++) {
                    double error = sum(Arrays.copyOfRange(errors, i * channels, (i + 1) * channels));
                    if (error < least[i]) {
                        least[i] = error;
                        best[i] = k;
                    }
                }
            }
            for (int i = 0; i < operands.size(); i++) {
                operands.get(i).quantize(own.get(i).get(best[i]), 0);
            }
        }
    }

    private static List<UniformQuantizer> candidates(WeightOperand weight) {
        Tensor w = weight.values();
        List<UniformGrid> whole = new ArrayList<>();
        for (int c = 0; c < w.dim(-1); c++) {
            whole.add(new MinMax().calibrate(Samples.ofChannel(weight.name(), w, c), weight.bits(), Tails.BOTH));
        }
        List<UniformQuantizer> candidates = new ArrayList<>();
        for (int k = 0; k < FACTORS; k++) {
            double factor = Math.pow(FACTOR, k);
            candidates.add(new UniformQuantizer(
                    whole.stream().map(grid -> shrunk(grid, factor)).toList()));
        }
        return candidates;
    }

    private static UniformGrid shrunk(UniformGrid grid, double factor) {
        return Calibrator.covering(grid.bits(), (float) (factor * grid.lower()), (float) (factor * grid.upper()));
    }

    /** Returns what may become of an input; the first is the min-max range, or two ranges that have all of it. */
    private static List<ActivationQuantizer> candidates(
            SiteState site, int index, Map<InputOperand, Histogram> inputs) {
        InputOperand input = site.inputs().get(index);
        Histogram seen = inputs.get(input);
        if (seen == null) {
            return List.of(input.quantizer());
        }
        List<ActivationQuantizer> candidates = new ArrayList<>();
        int bits = input.bits();
        if (bits > 1 && site.layer().isProbability(site.layer().inputs().get(index))) {
            for (int top = 0; top < TOPS; top++) {
                for (int ratio = 0; ratio < RATIOS; ratio++) {
                    candidates.add(TwinRanges.probabilities(bits, top, ratio));
                }
            }
            return candidates;
        }
        UniformGrid whole = new MinMax().calibrate(seen, bits, input.tails());
        for (int k = 0; k < FACTORS; k++) {
            double factor = Math.pow(FACTOR, k);
            if (bits > 1 && site.site().role() == Role.LINEAR_AFTER_GELU) {
                double step = factor * Math.max(whole.upper(), -GELU_MINIMUM) / ((1 << (bits - 1)) - 1);
                double reach = Math.scalb(step, bits - 1) / -GELU_MINIMUM;
                candidates.add(TwinRanges.bothSides(bits, step, Math.max(0, Math.getExponent(reach))));
            } else {
                candidates.add(UniformQuantizer.perTensor(shrunk(whole, factor)));
            }
        }
        return candidates;
    }

    /** Returns the weighted error of each output channel with the quantizers that the operands have now. */
    private static double[] answer(Quantization run, SiteState site, Seen seen) {
        // Attention has no weight to pack, and packed it is one op whatever its levels are.
        Module layer = site.weights().isEmpty() ? site.packed() : site.fake();
        Graph graph = Graph.eager(run.compute());
        return errors(run, layer.forward(graph.constant(seen.input())).tensor(), seen);
    }

    private static double[] errors(Quantization run, Tensor y, Seen seen) {
        Shape shape = y.shape();
        int outputs = shape.dim(-1);
        int rows = y.size() / outputs;
        double[][] sums = new double[Math.ceilDiv(rows, ROWS)][outputs];
        run.compute().forEachRange(rows, ROWS, (from, to) -> {
            for (int row = from; row < to; row++) {
                double[] sum = sums[row / ROWS];
                for (int c = 0; c < outputs; c++) {
                    int at = row * outputs + c;
                    float d = y.array()[y.offset() + at]
                            - seen.output().array()[seen.output().offset() + at];
                    sum[c] += d * d * seen.weight().array()[at];
                }
            }
        });
        double[] total = new double[outputs];
        for (double[] sum : sums) {
            for (int c = 0; c < outputs; c++) {
                total[c] += sum[c];
            }
        }
        return total;
    }

    private static double sum(double[] values) {
        return Arrays.stream(values).sum();
    }
}
