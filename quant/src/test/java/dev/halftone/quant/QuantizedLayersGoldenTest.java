// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.nn.Conv2d;
import dev.halftone.nn.Gradients;
import dev.halftone.nn.Graph;
import dev.halftone.nn.Module;
import dev.halftone.nn.Parameter;
import dev.halftone.nn.Parameter.Layout;
import dev.halftone.nn.StateDict;
import dev.halftone.nn.Value;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.testing.Golden;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Layers with quantized weights and inputs against the numbers of 2DQuant's published layers, forward and gradients: 1e-5 of the largest
 * value, gradients of bounds 1e-4 of {@code max(1, |reference|)}.
 */
final class QuantizedLayersGoldenTest {
    private static final Golden GOLDEN = Golden.open("quant_layers");
    private static final double TOLERANCE = 1e-5;

    private final Graph graph = Graph.recording(Compute.shared());

    private static List<String> ofModule(String module) {
        return GOLDEN.cases().stream()
                .filter(c -> GOLDEN.text(c, "module").equals(module))
                .toList();
    }

    static List<String> convolutions() {
        return ofModule("QuantConv2d");
    }

    static List<String> linears() {
        return ofModule("QuantLinear");
    }

    static List<String> projections() {
        return ofModule("QuantLinearQKV");
    }

    @Test
    void noCaseIsMissing() {
        assertThat(convolutions()).hasSize(4);
        assertThat(linears()).hasSize(4);
        assertThat(projections()).hasSize(4);
        assertThat(GOLDEN.cases()).hasSize(12);
    }

    @ParameterizedTest
    @MethodSource("convolutions")
    void convolution(String name) {
        int bits = GOLDEN.integer(name, "bit");
        Tensor weight = StateDict.fromStored(Layout.CONV, GOLDEN.tensor(name + "/param/weight"));
        Conv2d conv = new Conv2d(weight.dim(2), weight.dim(3), weight.dim(0));
        conv.weight().value().copyFrom(weight);
        parameter(conv, "bias").value().copyFrom(GOLDEN.tensor(name + "/param/bias"));
        assertThat(conv.padding()).isEqualTo(GOLDEN.integer(name, "padding"));
        UniformQuantizer weightQuantizer = UniformQuantizer.of(
                bits,
                GOLDEN.tensor(name + "/param/weight_quantizer.lower_bound"),
                GOLDEN.tensor(name + "/param/weight_quantizer.upper_bound"));
        UniformGrid activation =
                new UniformGrid(bits, (float) GOLDEN.scalar(name + "/param/act_quantizer.lower_bound"), (float)
                        GOLDEN.scalar(name + "/param/act_quantizer.upper_bound"));
        FakeQuantizedLayer layer =
                new FakeQuantizedLayer(conv, weightQuantizer, UniformQuantizer.perTensor(activation));

        Value x = graph.variable(toNhwc(GOLDEN.tensor(name + "/x")));
        Value y = layer.forward(x);
        Gradients gradients = graph.backward(y, toNhwc(GOLDEN.tensor(name + "/grad_out")));

        GOLDEN.assertClose(name + "/out", toNchw(y.tensor()), TOLERANCE);
        GOLDEN.assertClose(name + "/grad.x", toNchw(gradients.of(x)), TOLERANCE);
        GOLDEN.assertClose(
                name + "/grad/weight",
                StateDict.toStored(Layout.CONV, gradients.of(parameter(layer, "layer.weight"))),
                TOLERANCE);
        GOLDEN.assertClose(name + "/grad/bias", gradients.of(parameter(layer, "layer.bias")), TOLERANCE);
        requireBound(name + "/grad/weight_quantizer.lower_bound", gradients.of(parameter(layer, "weight_lower")));
        requireBound(name + "/grad/weight_quantizer.upper_bound", gradients.of(parameter(layer, "weight_upper")));
        requireBound(name + "/grad/act_quantizer.lower_bound", gradients.of(parameter(layer, "input_lower")));
        requireBound(name + "/grad/act_quantizer.upper_bound", gradients.of(parameter(layer, "input_upper")));

        Value eager = Graph.eager(Compute.shared()).constant(x.tensor());
        GOLDEN.assertClose(name + "/out", toNchw(layer.pack().forward(eager).tensor()), TOLERANCE);
    }

    private static Parameter parameter(Module module, String name) {
        return Objects.requireNonNull(module.parameters().get(name), name);
    }

    @ParameterizedTest
    @MethodSource("linears")
    void linear(String name) {
        Value x = graph.variable(GOLDEN.tensor(name + "/x"));
        Linear layer = new Linear(name, "");
        Value y = layer.forward(x);
        Gradients gradients = graph.backward(y, GOLDEN.tensor(name + "/grad_out"));
        GOLDEN.assertClose(name + "/out", y.tensor(), TOLERANCE);
        GOLDEN.assertClose(name + "/grad.x", gradients.of(x), TOLERANCE);
        layer.check(gradients);
    }

    @ParameterizedTest
    @MethodSource("projections")
    void queriesKeysAndValues(String name) {
        Value x = graph.variable(GOLDEN.tensor(name + "/x"));
        List<Linear> layers = List.of(new Linear(name, "q."), new Linear(name, "k."), new Linear(name, "v."));
        Value y = layers.get(0)
                .forward(x)
                .concat(2, layers.get(1).forward(x), layers.get(2).forward(x));
        Gradients gradients = graph.backward(y, GOLDEN.tensor(name + "/grad_out"));
        GOLDEN.assertClose(name + "/out", y.tensor(), TOLERANCE);
        GOLDEN.assertClose(name + "/grad.x", gradients.of(x), TOLERANCE);
        layers.forEach(layer -> layer.check(gradients));
    }

    /** A linear layer with quantized weight and input, of the ops that one is made of. */
    private final class Linear {
        final String name;
        final String prefix;
        final int bits;
        final Value weight;
        final Value bias;
        final Value weightLower;
        final Value weightUpper;
        final Value lower;
        final Value upper;

        Linear(String name, String prefix) {
            this.name = name;
            this.prefix = prefix;
            bits = GOLDEN.integer(name, "bit");
            weight = graph.variable(
                    StateDict.fromStored(Layout.LINEAR, GOLDEN.tensor(name + "/param/" + prefix + "weight")));
            bias = variable("bias");
            weightLower = variable("weight_quantizer.lower_bound");
            weightUpper = variable("weight_quantizer.upper_bound");
            lower = variable("act_quantizer.lower_bound");
            upper = variable("act_quantizer.upper_bound");
        }

        Value variable(String parameter) {
            return graph.variable(GOLDEN.tensor(name + "/param/" + prefix + parameter));
        }

        Value forward(Value x) {
            return x.fakeQuantize(lower, upper, bits).linear(weight.fakeQuantize(weightLower, weightUpper, bits), bias);
        }

        void check(Gradients gradients) {
            String at = name + "/grad/" + prefix;
            GOLDEN.assertClose(at + "weight", StateDict.toStored(Layout.LINEAR, gradients.of(weight)), TOLERANCE);
            GOLDEN.assertClose(at + "bias", gradients.of(bias), TOLERANCE);
            requireBound(at + "weight_quantizer.lower_bound", gradients.of(weightLower));
            requireBound(at + "weight_quantizer.upper_bound", gradients.of(weightUpper));
            requireBound(at + "act_quantizer.lower_bound", gradients.of(lower));
            requireBound(at + "act_quantizer.upper_bound", gradients.of(upper));
        }
    }

    private static void requireBound(String key, Tensor gradient) {
        double reference = GOLDEN.scalar(key);
        assertThat((double) gradient.item())
                .as(key)
                .isCloseTo(reference, within(1e-4 * Math.max(1, Math.abs(reference))));
    }

    private static Tensor toNhwc(Tensor x) {
        return x.permute(0, 2, 3, 1);
    }

    private static Tensor toNchw(Tensor x) {
        return x.permute(0, 3, 1, 2);
    }
}
