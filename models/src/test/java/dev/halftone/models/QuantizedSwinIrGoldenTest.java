// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.nn.Gradients;
import dev.halftone.nn.Graph;
import dev.halftone.nn.Module;
import dev.halftone.nn.Parameter;
import dev.halftone.nn.StateDict;
import dev.halftone.nn.Value;
import dev.halftone.nn.optim.Adam;
import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.Scope;
import dev.halftone.quant.SiteState;
import dev.halftone.quant.WeightOperand;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.testing.Golden;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** 2DQuant's quantized SwinIR with its bounds: outputs, the gradients of all bounds, and three steps of its optimizer. */
final class QuantizedSwinIrGoldenTest {
    private static final float MAX_PIXEL = 255;

    private final Compute compute = Compute.shared();

    /**
     * A reference network: its weights and results, and its bounds as vectors.
     *
     * @param names of the bounds, in the order of the vectors
     * @param ambiguous bounds where masked probabilities underflow to exactly the bound in the reference, which decides where the gradient
     *     goes
     */
    private record Reference(int bits, Golden golden, List<String> names, List<String> ambiguous) {
        static Reference of(int bits) {
            Golden golden = Golden.open("net_q2dquant_swinir_tiny_b" + bits);
            return new Reference(bits, golden, golden.texts("bounds", "names"), golden.texts("bounds", "ambiguous"));
        }

        float bound(String vector, String name) {
            int at = names.indexOf(name);
            assertThat(at).as(name).isNotNegative();
            return golden.tensor(vector).get(at);
        }

        SwinIr network() {
            SwinIr network = new SwinIr(new SwinIrConfig(
                    3, 12, List.of(2, 2), List.of(2, 2), 24, 4, 2, SwinIrConfig.Head.DIRECT, false, 1));
            network.parameters().forEach((name, p) -> {
                Tensor stored = golden.has(name)
                        ? golden.tensor(name)
                        : stacked(
                                name.replace(".qkv.", ".qkv.q."),
                                name.replace(".qkv.", ".qkv.k."),
                                name.replace(".qkv.", ".qkv.v."));
                p.value().copyFrom(StateDict.fromStored(p.layout(), stored));
            });
            return network;
        }

        private Tensor stacked(String... names) {
            int[] dims = golden.tensor(names[0]).shape().dims();
            Tensor all = Tensor.zeros(golden.tensor(names[0]).shape().with(0, 3 * dims[0]));
            int at = 0;
            for (String name : names) {
                for (float v : golden.tensor(name).toArray()) {
                    all.array()[at++] = v;
                }
            }
            return all;
        }

        UniformQuantizer bounds(String quantizer) {
            return UniformQuantizer.perTensor(new UniformGrid(
                    bits, bound("bounds", quantizer + ".lower_bound"), bound("bounds", quantizer + ".upper_bound")));
        }
    }

    /** Returns what the reference calls the quantizer of a layer's input. */
    private static String input(String operand) {
        int dot = operand.lastIndexOf('.');
        return operand.contains(".products.")
                ? operand.substring(0, dot).replace(".products", ".mymodule_") + operand.substring(dot + 1)
                : operand + ".act_quantizer";
    }

    private static String weight(String operand) {
        return operand.substring(0, operand.lastIndexOf('.')) + ".weight_quantizer";
    }

    private Quantization quantization(SwinIr network, Reference reference) {
        Quantization run = new Quantization(
                compute, network, new Quantization.Options(reference.bits, reference.bits, Scope.BODY), List.of());
        for (SiteState site : run.sites()) {
            for (WeightOperand w : site.weights()) {
                w.quantize(reference.bounds(weight(w.name())));
            }
            for (InputOperand x : site.inputs()) {
                x.quantize(reference.bounds(input(x.name())), 0);
            }
        }
        return run;
    }

    private static Tensor pixels(Tensor image) {
        Tensor x = image.permute(0, 2, 3, 1);
        for (int i = 0; i < x.size(); i++) {
            x.array()[i] *= MAX_PIXEL;
        }
        return x;
    }

    @ParameterizedTest
    @ValueSource(ints = {4, 2})
    void outputsAreTheReferences(int bits) {
        Reference reference = Reference.of(bits);
        SwinIr network = reference.network();
        Quantization run = quantization(network, reference);
        assertThat(run.sites().stream()
                        .mapToInt(s -> s.weights().size() + s.inputs().size())
                        .sum())
                .as("16 quantizers in each of 4 blocks")
                .isEqualTo(64);
        Tensor x = pixels(reference.golden.tensor("x"));
        run.simulate();
        check(reference, run(network, x), "simulated");
        run.pack();
        check(reference, run(network, x), "packed");
    }

    /** As in the paper: 24 blocks of 6 weights and 10 inputs. */
    @Test
    void theLightweightNetworkHas384Quantizers() {
        SwinIr network = new SwinIr(SwinIrConfig.light(2)).initialize(new SplittableRandom(1));
        Quantization run = new Quantization(compute, network, new Quantization.Options(2, 2, Scope.BODY), List.of());
        assertThat(run.sites().stream().mapToInt(s -> s.weights().size()).sum()).isEqualTo(144);
        assertThat(run.sites().stream().mapToInt(s -> s.inputs().size()).sum()).isEqualTo(240);
        for (SiteState site : run.sites()) {
            site.weights().forEach(w -> w.quantize(UniformQuantizer.perTensor(new UniformGrid(2, -1, 1))));
            site.inputs().forEach(x -> x.quantize(UniformQuantizer.perTensor(new UniformGrid(2, -1, 1)), 0));
        }
        List<Quantization.LayerReport> reports = run.pack();
        assertThat(reports).hasSize(240);
        assertThat(reports.stream().filter(r -> r.weightBits() > 0)).hasSize(144);
        assertThat(reports.stream().filter(Quantization.LayerReport::packed)).hasSize(144);
    }

    private Tensor run(Module network, Tensor x) {
        return network.forward(Graph.eager(compute).constant(x)).tensor();
    }

    /** A rounding tie that falls the other way moves single values by a step. */
    private static void check(Reference reference, Tensor pixels, String what) {
        float[] expected = reference.golden.tensor("y_q").permute(0, 2, 3, 1).toArray();
        double max = 0;
        for (float v : expected) {
            max = Math.max(max, Math.abs(v));
        }
        int close = 0;
        double sum = 0;
        for (int i = 0; i < expected.length; i++) {
            double d = Math.abs(pixels.array()[i] / MAX_PIXEL - expected[i]);
            close += d <= 1e-4 * max ? 1 : 0;
            sum += d;
        }
        assertThat((double) close / expected.length).as(what).isGreaterThanOrEqualTo(0.995);
        assertThat(sum / expected.length).as(what).isLessThan(1e-3 * max);
    }

    @ParameterizedTest
    @ValueSource(ints = {4, 2})
    void gradientsAndStepsOfBoundsAreTheReferences(int bits) {
        Reference reference = Reference.of(bits);
        SwinIr network = reference.network();
        quantization(network, reference).simulate();
        Graph graph = Graph.recording(compute);
        Value y = network.forward(graph.constant(pixels(reference.golden.tensor("x"))));
        Value loss = y.l1Loss(graph.constant(pixels(reference.golden.tensor("y_fp"))));
        // The reference divides the mean by the number of values and multiplies it by that of images.
        float factor = 2f / y.shape().size();
        assertThat((double) loss.tensor().item() / MAX_PIXEL * factor)
                .isCloseTo(
                        reference.golden.scalar("step0/l_pix"), within(1e-3 * reference.golden.scalar("step0/l_pix")));
        Gradients gradients = graph.backward(loss.scale(factor / MAX_PIXEL));

        Map<String, Parameter> bounds = new LinkedHashMap<>();
        network.parameters().forEach((name, p) -> {
            if (name.endsWith("_lower") || name.endsWith("_upper")) {
                bounds.put(referenceName(name), p);
            }
        });
        assertThat(bounds).hasSize(128);
        double largest = bounds.keySet().stream()
                .mapToDouble(name -> Math.abs(reference.bound("step0/grad", name)))
                .max()
                .orElseThrow();
        bounds.forEach((name, p) -> {
            double expected = reference.bound("step0/grad", name);
            if (!reference.ambiguous.contains(name)) {
                assertThat((double) gradients.of(p).item())
                        .as(name)
                        .isCloseTo(expected, within(1e-2 * Math.abs(expected) + 1e-3 * largest));
            }
        });
        checkSteps(reference, bounds);
    }

    /** The stored gradients drive the optimizer, because Adam magnifies differences of gradients this small. */
    private void checkSteps(Reference reference, Map<String, Parameter> bounds) {
        Adam adam = new Adam(bounds, Adam.Options.DEFAULT.withBetas(0.9, 0.99));
        List<String> names = new ArrayList<>(bounds.keySet());
        for (int step = 0; step < 3; step++) {
            String at = "step" + step;
            Graph graph = Graph.recording(compute);
            Value[] values = names.stream()
                    .map(name -> graph.parameter(Objects.requireNonNull(bounds.get(name))))
                    .toArray(Value[]::new);
            Value first = values[0];
            Value[] others = new Value[values.length - 1];
            System.arraycopy(values, 1, others, 0, others.length);
            Tensor seed = Tensor.zeros(names.size());
            for (int i = 0; i < names.size(); i++) {
                seed.set(reference.bound(at + "/grad", names.get(i)), i);
            }
            adam.step(graph.backward(first.concat(0, others), seed), 1e-2);
            bounds.forEach((name, p) -> {
                double expected = reference.bound(at + "/bounds", name);
                assertThat((double) p.value().item())
                        .as("%s %s", at, name)
                        .isCloseTo(expected, within(1e-6 * Math.max(1, Math.abs(expected))));
            });
        }
    }

    /** From {@code attn.qkv.weight0_lower} to {@code attn.qkv.q.weight_quantizer.lower_bound} and the like. */
    private static String referenceName(String name) {
        int dot = name.lastIndexOf('.');
        String layer = name.substring(0, dot);
        String bound = name.substring(name.lastIndexOf('_') + 1) + "_bound";
        String operand = name.substring(dot + 1, name.lastIndexOf('_'));
        int index = Character.isDigit(operand.charAt(operand.length() - 1))
                ? operand.charAt(operand.length() - 1) - '0'
                : 0;
        if (layer.endsWith(".products")) {
            return layer.replace(".products", ".mymodule_") + "qkav".charAt(index) + "." + bound;
        }
        String part = layer.endsWith(".qkv") ? "." + "qkv".charAt(index) : "";
        return layer + part + (operand.startsWith("weight") ? ".weight_quantizer." : ".act_quantizer.") + bound;
    }
}
