// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.Module;
import dev.halftone.nn.Site;
import dev.halftone.nn.Site.Role;
import dev.halftone.quant.calibration.Tails;
import dev.halftone.quant.format.ActivationQuantizer;
import dev.halftone.quant.format.BoundForm;
import dev.halftone.quant.format.WeightFormat;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.ChannelNormalization;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** A site in scope: the operands of its layer, and what passes have to tell of it. */
public final class SiteState {
    private final Site site;
    private QuantizableLayer layer;
    private final List<WeightOperand> weights = new ArrayList<>();
    private final List<InputOperand> inputs = new ArrayList<>();
    private final Map<String, Double> measures = new LinkedHashMap<>();
    private BoundForm weightForm = BoundForm.FREE;
    private BoundForm inputForm = BoundForm.FREE;
    private boolean inIntegers;
    private @Nullable InputOperand next;

    SiteState(Site site, QuantizableLayer layer, Quantization.Options options) {
        this.site = site;
        this.layer = layer;
        for (QuantizableLayer.Weight weight : layer.weights()) {
            String part = weight.part().isEmpty() ? "" : "." + weight.part();
            weights.add(new WeightOperand(site.name() + part + ".weight", weight, options.weightBits()));
        }
        for (String input : layer.inputs()) {
            boolean oneTail = site.role() == Role.LINEAR_AFTER_GELU || layer.isProbability(input);
            inputs.add(new InputOperand(
                    input.isEmpty() ? site.name() : site.name() + "." + input,
                    oneTail ? Tails.UPPER : Tails.BOTH,
                    options.activationBits()));
        }
    }

    /** Returns the site. */
    public Site site() {
        return site;
    }

    /** Returns the weights of the layer. */
    public List<WeightOperand> weights() {
        return List.copyOf(weights);
    }

    /** Returns the inputs of the layer. */
    public List<InputOperand> inputs() {
        return List.copyOf(inputs);
    }

    /** Keeps a number for the report, for example a condition number. */
    public void measure(String what, double value) {
        measures.put(what, value);
    }

    /** Returns the numbers that passes have kept. */
    public Map<String, Double> measures() {
        return Map.copyOf(measures);
    }

    /** Returns the formula of the layer. */
    public QuantizableLayer layer() {
        return layer;
    }

    /** Returns the layer that computes in fp32 what the quantized one will, and can be trained. */
    public FakeQuantizedLayer fake() {
        return new FakeQuantizedLayer(
                layer,
                weights.stream().map(WeightOperand::chosen).toList(),
                inputs.stream().map(InputOperand::quantizer).toList(),
                weightForm,
                inputForm);
    }

    /** Sets what the bounds of weights and inputs may be from here on. */
    public void constrain(BoundForm ofWeights, BoundForm ofInputs) {
        weightForm = ofWeights;
        inputForm = ofInputs;
    }

    /** Returns the layer on stored weights, on packed codes where a kernel takes them. */
    public Module packed() {
        Module packed = layer.pack(
                weights.stream().map(WeightOperand::stored).toList(),
                inputs.stream().map(InputOperand::quantizer).toList());
        return inIntegers && packed instanceof QuantizedConv2d conv
                ? new IntegerConv2d(conv, next == null ? null : QuantizableLayer.grid(next.quantizer()))
                : packed;
    }

    /** Has the layer executed in integers alone; {@code reader} is the only input that reads its output, or null if fp32 follows. */
    public void executeInIntegers(@Nullable InputOperand reader) {
        inIntegers = true;
        next = reader;
    }

    /** Returns what a weight of a part takes in a file, with its share of what the input takes. */
    double effectiveBits(int part, WeightFormat stored) {
        ActivationQuantizer input = layer.stored(part, inputs.get(part).quantizer());
        double own = (double) (stored.storedBits() + input.storedBits())
                / stored.shape().size();
        return layer instanceof QuantizableLayer.Bypassed(QuantizableLayer _, BypassedLayer around)
                ? own + (double) around.storedBits() / size()
                : own;
    }

    /** Takes over the bounds of a layer that was trained. */
    public void take(FakeQuantizedLayer trained) {
        for (int i = 0; i < weights.size(); i++) {
            weights.get(i).quantize(trained.weight(i));
        }
        for (int i = 0; i < inputs.size(); i++) {
            inputs.get(i).quantize(trained.input(i), inputs.get(i).error());
        }
        NormalizedLayer normalized = layer.normalized();
        if (normalized != null) {
            normalized.settle(weights);
        }
    }

    /** Returns whether the channels of every input can be normalised: each meets a weight. */
    public boolean canNormalize() {
        return !weights.isEmpty() && weights.size() == inputs.size();
    }

    /**
     * Normalises the channels of every input from here on, on top of what was done before: weights and inputs are those of the
     * normalised layer, which computes what it did. Quantizers that were chosen no longer fit.
     *
     * @throws IllegalStateException if inputs do not meet weights
     */
    public void normalize(List<ChannelNormalization> by) {
        if (!canNormalize() || by.size() != inputs.size()) {
            throw new IllegalStateException(by.size() + " normalisations for the inputs of " + site.name());
        }
        BypassedLayer around = layer instanceof QuantizableLayer.Bypassed bypassed ? bypassed.around() : null;
        QuantizableLayer own = layer instanceof QuantizableLayer.Bypassed bypassed ? bypassed.inner() : layer;
        List<ChannelNormalization> all = new ArrayList<>();
        for (int i = 0; i < by.size(); i++) {
            NormalizedLayer.divide(weights.get(i), by.get(i).gain());
            weights.get(i).allocate(weights.get(i).bits());
            inputs.get(i).allocate(inputs.get(i).bits());
            all.add(
                    own instanceof QuantizableLayer.Normalized before
                            ? before.normalized().normalization(i).then(by.get(i))
                            : by.get(i));
        }
        QuantizableLayer inner =
                own instanceof QuantizableLayer.Normalized(QuantizableLayer plain, NormalizedLayer _) ? plain : own;
        layer = new QuantizableLayer.Normalized(inner, new NormalizedLayer(inner, all));
        if (around != null) {
            layer = new QuantizableLayer.Bypassed(layer, around.around(layer.module()));
        }
        restore();
    }

    /**
     * Puts a bypass past the layer.
     *
     * @param parts what else is put around it
     * @param center the means of the input's channels, where a part needs them; what they add to the outputs moves out of the layer
     * @param unit how far values are from these
     */
    public void bypass(Set<BypassedLayer.Part> parts, @Nullable Tensor center, float unit) {
        Tensor first = weights.getFirst().values();
        int in = first.dim(-2);
        int out = size() / (first.size() / first.dim(-1));
        BypassedLayer around = new BypassedLayer(layer.module(), in, out, parts);
        if (center != null) {
            around.begin(center, unit, moveBiases(center, out));
        }
        layer = new QuantizableLayer.Bypassed(layer, around);
        restore();
    }

    /** Takes the biases out of the layer and returns them, with what inputs {@code center} add to the outputs. */
    private Tensor moveBiases(Tensor center, int out) {
        Tensor moved = Tensor.zeros(out);
        int first = 0;
        for (int i = 0; i < weights.size(); i++) {
            Tensor w = weights.get(i).values();
            int own = w.dim(-1);
            for (int j = 0; j < w.size(); j++) {
                int c = first + j % own;
                moved.set(moved.get(c) + w.array()[j] * center.get(j / own % center.size()), c);
            }
            if (!layer.biases().isEmpty()) {
                QuantizableLayer.Weight bias = layer.biases().get(i);
                Tensor b = bias.values();
                for (int c = 0; c < own; c++) {
                    moved.set(moved.get(first + c) + b.get(c), first + c);
                }
                bias.set(Tensor.zeros(own));
            }
            first += own;
        }
        return moved;
    }

    /** Returns the number of weights. */
    private int size() {
        return weights.stream().mapToInt(w -> w.values().size()).sum();
    }

    /** Puts a layer into the slot. */
    public void replace(Module by) {
        site.slot().replace(by);
    }

    /** Puts the fp32 layer back into the slot. */
    public void restore() {
        site.slot().replace(layer.module());
    }
}
