// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.Module;
import dev.halftone.nn.Site;
import dev.halftone.nn.Site.Role;
import dev.halftone.quant.calibration.Tails;
import dev.halftone.tensor.kernels.ChannelNormalization;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A site in scope: the operands of its layer, and what passes have to tell of it. */
public final class SiteState {
    private final Site site;
    private QuantizableLayer layer;
    private final List<WeightOperand> weights = new ArrayList<>();
    private final List<InputOperand> inputs = new ArrayList<>();
    private final Map<String, Double> measures = new LinkedHashMap<>();
    private BoundForm weightForm = BoundForm.FREE;
    private BoundForm inputForm = BoundForm.FREE;

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
    Map<String, Double> measures() {
        return Map.copyOf(measures);
    }

    /** Returns the formula of the layer. */
    QuantizableLayer layer() {
        return layer;
    }

    /** Returns the layer that computes in fp32 what the quantized one will, and can be trained. */
    FakeQuantizedLayer fake() {
        return new FakeQuantizedLayer(
                layer,
                weights.stream().map(WeightOperand::chosen).toList(),
                inputs.stream().map(InputOperand::quantizer).toList(),
                weightForm,
                inputForm);
    }

    /** Sets what the bounds of weights and inputs may be from here on. */
    void constrain(BoundForm ofWeights, BoundForm ofInputs) {
        weightForm = ofWeights;
        inputForm = ofInputs;
    }

    /** Returns the layer on stored weights, on packed codes where a kernel takes them. */
    Module packed() {
        return layer.pack(
                weights.stream().map(WeightOperand::stored).toList(),
                inputs.stream().map(InputOperand::quantizer).toList());
    }

    /** Returns what a weight of a part takes in a file, with its share of what the input takes. */
    double effectiveBits(int part, WeightFormat stored) {
        ActivationQuantizer input = layer.stored(part, inputs.get(part).quantizer());
        return (double) (stored.storedBits() + input.storedBits())
                / stored.shape().size();
    }

    /** Takes over the bounds of a layer that was trained. */
    void take(FakeQuantizedLayer trained) {
        for (int i = 0; i < weights.size(); i++) {
            weights.get(i).quantize(trained.weight(i));
        }
        for (int i = 0; i < inputs.size(); i++) {
            inputs.get(i).quantize(trained.input(i), inputs.get(i).error());
        }
        if (layer instanceof QuantizableLayer.Normalized(QuantizableLayer _, NormalizedLayer normalized)) {
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
        List<ChannelNormalization> all = new ArrayList<>();
        for (int i = 0; i < by.size(); i++) {
            NormalizedLayer.divide(weights.get(i), by.get(i).gain());
            weights.get(i).allocate(weights.get(i).bits());
            inputs.get(i).allocate(inputs.get(i).bits());
            all.add(
                    layer instanceof QuantizableLayer.Normalized before
                            ? before.normalized().normalization(i).then(by.get(i))
                            : by.get(i));
        }
        QuantizableLayer inner =
                layer instanceof QuantizableLayer.Normalized(QuantizableLayer plain, NormalizedLayer _) ? plain : layer;
        layer = new QuantizableLayer.Normalized(inner, new NormalizedLayer(inner, all));
        restore();
    }

    /** Puts a layer into the slot. */
    void replace(Module by) {
        site.slot().replace(by);
    }

    /** Puts the fp32 layer back into the slot. */
    void restore() {
        site.slot().replace(layer.module());
    }
}
