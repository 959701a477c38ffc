// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.Child;
import dev.halftone.nn.Conv2d;
import dev.halftone.nn.Graph;
import dev.halftone.nn.Module;
import dev.halftone.nn.Site;
import dev.halftone.nn.Value;
import dev.halftone.quant.calibration.Histogram;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongFunction;
import org.jspecify.annotations.Nullable;

/**
 * One run of a recipe on one network: what the passes read and decide. The network is changed only when {@link #pack} or
 * {@link #simulate} puts other layers at its sites.
 */
public final class Quantization {
    /**
     * What is asked for.
     *
     * @param weightBits 1 to 8
     * @param activationBits 1 to 8
     * @param scope which layers
     */
    public record Options(int weightBits, int activationBits, Scope scope) {
        /** Checks the ranges. */
        public Options {
            if (weightBits < 1 || weightBits > 8 || activationBits < 1 || activationBits > 8) {
                throw new IllegalArgumentException(
                        "weights and activations have 1 to 8 bits, not " + weightBits + " and " + activationBits);
            }
        }
    }

    /**
     * What became of a site.
     *
     * @param name the site's name
     * @param weightBits bits of a weight code
     * @param activation the grid of its input
     * @param weightError relative squared error of the weight, {@code |w - wq|^2 / |w|^2}
     * @param activationError the same of its input over the calibration images, as the fp32 network computes it
     * @param packed whether it runs on packed codes
     */
    public record LayerReport(
            String name,
            int weightBits,
            UniformGrid activation,
            double weightError,
            double activationError,
            boolean packed) {
        /** Returns the bits of an activation code. */
        public int activationBits() {
            return activation.bits();
        }
    }

    /** A site and what has been decided for it so far. */
    static final class SiteState {
        final Site site;
        final Conv2d conv;

        @Nullable
        UniformQuantizer weight;

        @Nullable
        UniformGrid activation;

        double activationError;

        SiteState(Site site, Conv2d conv) {
            this.site = site;
            this.conv = conv;
        }
    }

    /** Sees the inputs of a layer while the network runs. */
    private static final class Observer extends Module {
        private final Child inner;
        private final Histogram histogram;

        Observer(Module module, Histogram histogram) {
            this.inner = child("inner", module);
            this.histogram = histogram;
        }

        @Override
        public Value forward(Value x) {
            histogram.add(x.tensor());
            return inner.forward(x);
        }
    }

    /** Batches that the fp32 network is run on to see its activations. */
    private static final int OBSERVED = 8;

    private final Compute compute;
    private final Module network;
    private final Options options;
    private final LongFunction<Tensor> calibration;
    private final long observed;
    private @Nullable Supervision supervision;
    private long plannedSteps;
    private int trainings;
    private final List<TrainingReport> trained = new ArrayList<>();
    private final List<SiteState> sites = new ArrayList<>();

    /**
     * Prepares a run.
     *
     * @param network an fp32 network; the run changes it in the end
     * @param calibration batches {@code [N, H, W, 3]} that the network is run on
     */
    public Quantization(Compute compute, Module network, Options options, List<Tensor> calibration) {
        this(compute, network, options, i -> calibration.get((int) (i % calibration.size())), calibration.size());
    }

    /**
     * Prepares a run with as much calibration data as passes ask for.
     *
     * @param network an fp32 network; the run changes it in the end
     * @param calibration batches {@code [N, H, W, 3]} by number; the same number always gives the same batch
     */
    public Quantization(Compute compute, Module network, Options options, LongFunction<Tensor> calibration) {
        this(compute, network, options, calibration, OBSERVED);
    }

    private Quantization(
            Compute compute, Module network, Options options, LongFunction<Tensor> calibration, long observed) {
        this.compute = compute;
        this.network = network;
        this.options = options;
        this.calibration = calibration;
        this.observed = observed;
        for (Site site : network.sites()) {
            if (options.scope().includes(site.region()) && site.slot().module() instanceof Conv2d conv) {
                sites.add(new SiteState(site, conv));
            }
        }
        if (sites.isEmpty()) {
            throw new IllegalArgumentException(
                    "the network has no layers in scope " + options.scope().id());
        }
    }

    /** Sets what passes that train learn from. */
    public Quantization supervise(Supervision by) {
        this.supervision = by;
        return this;
    }

    Supervision supervision() {
        if (supervision == null) {
            throw new IllegalStateException("a pass trains, and there is no fp32 network to learn from");
        }
        return supervision;
    }

    /** Takes note of the recipe that is about to be applied. */
    void begin(Recipe recipe) {
        plannedSteps = recipe.steps();
        trainings = 0;
        trained.clear();
    }

    /** Returns the training steps of the whole recipe. */
    long plannedSteps() {
        return plannedSteps;
    }

    /** Counts the passes that train, from 0. */
    int nextTraining() {
        return trainings++;
    }

    void report(TrainingReport report) {
        trained.add(report);
    }

    /** Returns what the passes that trained did. */
    public List<TrainingReport> trained() {
        return List.copyOf(trained);
    }

    Module network() {
        return network;
    }

    /** Returns a calibration batch. */
    Tensor batch(long number) {
        if (observed == 0) {
            throw new IllegalStateException("there are no calibration images");
        }
        return calibration.apply(number);
    }

    /** Returns the layer that trains in place of a site's. */
    FakeQuantizedConv2d fake(SiteState s) {
        UniformQuantizer weight = s.weight;
        UniformGrid activation = s.activation;
        if (weight == null || activation == null) {
            throw new IllegalStateException("no pass has chosen bounds for " + s.site.name());
        }
        return new FakeQuantizedConv2d(s.conv, weight, activation);
    }

    /** Returns what was asked for. */
    public Options options() {
        return options;
    }

    Compute compute() {
        return compute;
    }

    List<SiteState> sites() {
        return sites;
    }

    /** Runs the fp32 network over the calibration batches and returns the distribution of each site's input, by site name. */
    Map<String, Histogram> observeInputs() {
        if (observed == 0) {
            throw new IllegalStateException("there are no calibration images");
        }
        Map<String, Histogram> seen = new LinkedHashMap<>();
        for (SiteState s : sites) {
            Histogram histogram = new Histogram("the input of " + s.site.name());
            seen.put(s.site.name(), histogram);
            s.site.slot().replace(new Observer(s.conv, histogram));
        }
        try {
            for (long i = 0; i < observed; i++) {
                network.forward(Graph.eager(compute).constant(batch(i)));
            }
        } finally {
            for (SiteState s : sites) {
                s.site.slot().replace(s.conv);
            }
        }
        return seen;
    }

    /** Replaces every site's layer by one that runs on packed codes, and reports. */
    public List<LayerReport> pack() {
        return replace(true);
    }

    /** Replaces every site's layer by one that quantizes and dequantizes in fp32, and reports. */
    public List<LayerReport> simulate() {
        return replace(false);
    }

    /**
     * Returns how far the outputs of the quantized layers are off in the whole network, where the errors of all layers before them add
     * up: {@code |y - yq|^2 / |y|^2} over the held-back batches (else the first calibration batch) by site name. To be called after
     * {@link #pack} or {@link #simulate}.
     */
    public Map<String, Double> outputErrors() {
        List<Tensor> batches = supervision().heldBack();
        Map<String, double[]> sums = new LinkedHashMap<>();
        for (Tensor x : batches.isEmpty() ? List.of(batch(0)) : batches) {
            Map<String, Tensor> wanted = outputs(supervision().teacher(), x);
            outputs(network, x).forEach((name, y) -> {
                Tensor full = wanted.get(name);
                if (full != null) {
                    double[] sum = sums.computeIfAbsent(name, n -> new double[2]);
                    for (int i = 0; i < y.size(); i++) {
                        double v = full.array()[full.offset() + i];
                        double d = v - y.array()[y.offset() + i];
                        sum[0] += d * d;
                        sum[1] += v * v;
                    }
                }
            });
        }
        Map<String, Double> errors = new LinkedHashMap<>();
        sums.forEach((name, sum) -> errors.put(name, sum[1] == 0 ? 0 : sum[0] / sum[1]));
        return errors;
    }

    /** Returns the outputs of the layers in scope for a batch. */
    private Map<String, Tensor> outputs(Module of, Tensor x) {
        Map<String, Tap> taps = new LinkedHashMap<>();
        for (Site site : of.sites()) {
            if (options.scope().includes(site.region())) {
                taps.put(site.name(), Tap.on(site.slot()));
            }
        }
        try {
            of.forward(Graph.eager(compute).constant(x));
            Map<String, Tensor> outputs = new LinkedHashMap<>();
            taps.forEach((name, tap) -> outputs.put(name, tap.output().tensor()));
            return outputs;
        } finally {
            taps.values().forEach(Tap::remove);
        }
    }

    private List<LayerReport> replace(boolean packed) {
        List<LayerReport> reports = new ArrayList<>();
        for (SiteState s : sites) {
            UniformQuantizer weight = s.weight;
            UniformGrid activation = s.activation;
            if (weight == null || activation == null) {
                throw new IllegalStateException("no pass has chosen bounds for " + s.site.name());
            }
            Module layer = packed
                    ? QuantizedConv2d.of(s.conv, weight, activation)
                    : new FakeQuantizedConv2d(s.conv, weight, activation);
            s.site.slot().replace(layer);
            reports.add(new LayerReport(
                    s.site.name(),
                    weight.bits(),
                    activation,
                    error(s.conv.weight().value(), weight),
                    s.activationError,
                    packed));
        }
        return reports;
    }

    private static double error(Tensor w, UniformQuantizer quantizer) {
        Tensor q = quantizer.fake(w);
        double error = 0;
        double power = 0;
        for (int i = 0; i < w.size(); i++) {
            double v = w.array()[w.offset() + i];
            double d = v - q.array()[i];
            error += d * d;
            power += v * v;
        }
        return power == 0 ? 0 : error / power;
    }
}
