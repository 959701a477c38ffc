// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.AttentionProducts;
import dev.halftone.nn.Conv2d;
import dev.halftone.nn.Linear;
import dev.halftone.nn.Module;
import dev.halftone.nn.Parameter;
import dev.halftone.nn.Site;
import dev.halftone.nn.Site.Role;
import dev.halftone.nn.Value;
import dev.halftone.quant.format.ActivationQuantizer;
import dev.halftone.quant.format.LevelQuantizer;
import dev.halftone.quant.format.NormalizedQuantizer;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.quant.format.UniformWeight;
import dev.halftone.quant.format.WeightFormat;
import dev.halftone.tensor.LevelTable;
import dev.halftone.tensor.Levels;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** The formula of a layer with its operands left open, so that it can be observed, quantized in fp32, or packed. */
public sealed interface QuantizableLayer {
    /** What takes the place of the operands. */
    interface Operands {
        /** Returns what is used for an input. */
        Value input(int index, Value x);

        /** Returns what is used for a weight {@code [..., out]}. */
        Value weight(int index, Value w);
    }

    /**
     * A weight or bias: a parameter, or some of its outputs.
     *
     * @param part the name of the part of the layer that it belongs to, empty where the layer has one part only
     * @param from the first output
     * @param to the end of the outputs
     */
    record Weight(String part, Parameter parameter, int from, int to) {
        public static Weight of(Parameter whole) {
            return new Weight("", whole, 0, whole.value().dim(-1));
        }

        private int outputs() {
            return parameter.value().dim(-1);
        }

        /** Returns a copy of the values {@code [..., out]}. */
        public Tensor values() {
            return of(parameter.value());
        }

        /** Returns a copy of what is this weight's of a tensor of the parameter's shape. */
        public Tensor of(Tensor all) {
            Tensor some = Tensor.zeros(all.shape().with(-1, to - from));
            for (int i = 0; i < some.size(); i++) {
                some.array()[i] = all.array()[all.offset() + at(i)];
            }
            return some;
        }

        /** Replaces the values. */
        public void set(Tensor values) {
            for (int i = 0; i < values.size(); i++) {
                parameter.value().array()[parameter.value().offset() + at(i)] = values.array()[values.offset() + i];
            }
        }

        private int at(int i) {
            int own = to - from;
            return i / own * outputs() + from + i % own;
        }

        /** Returns the values in the graph of {@code x}. */
        Value in(Value x) {
            Value all = parameter.in(x);
            return to - from == outputs() ? all : all.slice(-1, from, to);
        }
    }

    /** Returns the formula of the layer at a site, or empty if layers of its kind are not quantized. */
    public static Optional<QuantizableLayer> of(Site site) {
        return switch (site.slot().module()) {
            case Conv2d conv -> Optional.of(new Convolution(conv));
            case Linear linear ->
                Optional.of(site.role() == Role.QKV ? new Projections(linear) : new Projection(linear));
            case AttentionProducts products -> Optional.of(new Products(products));
            default -> Optional.empty();
        };
    }

    /** Returns the layer itself. */
    Module module();

    /** Returns what is quantized of its parameters; where there are any, number {@code i} multiplies input number {@code i}. */
    default List<Weight> weights() {
        return List.of();
    }

    /** Returns what is added to the outputs of each weight, in the same order; empty where the layer adds nothing. */
    default List<Weight> biases() {
        return List.of();
    }

    /** Returns the names of what is quantized of its inputs; one without a name is the layer's only input. */
    List<String> inputs();

    /** Returns whether an input is what a softmax has made. */
    default boolean isProbability(String input) {
        return false;
    }

    /** Computes the layer on other operands. */
    Value forward(Value x, Operands operands);

    /**
     * Returns the layer's weights and biases, or empty where it is no linear layer. Input number {@code i} is multiplied by the weight
     * {@code [2 i]}, and the bias {@code [2 i + 1]} is added.
     */
    default List<Value> weightsAndBiases(Value x, Operands operands) {
        return List.of();
    }

    /** Returns the layer that normalises the channels of inputs, or null where none does. */
    default @Nullable NormalizedLayer normalized() {
        return null;
    }

    /** Returns what a packed layer keeps of an input's quantizer. */
    default ActivationQuantizer stored(int input, ActivationQuantizer quantizer) {
        return quantizer;
    }

    /** Returns the layer on stored weights: on packed codes where a kernel takes them. */
    Module pack(List<WeightFormat> weights, List<ActivationQuantizer> inputs);

    /** A convolution: its weight and its input. Padding is not quantized. */
    record Convolution(Conv2d conv) implements QuantizableLayer {
        /** Checks that packed kernels compute it. */
        public Convolution {
            QuantizedConv2d.requireSupported(conv);
        }

        @Override
        public Module module() {
            return conv;
        }

        @Override
        public List<Weight> weights() {
            return List.of(Weight.of(conv.weight()));
        }

        @Override
        public List<Weight> biases() {
            Parameter bias = conv.bias();
            return bias == null ? List.of() : List.of(Weight.of(bias));
        }

        @Override
        public List<String> inputs() {
            return List.of("");
        }

        @Override
        public Value forward(Value x, Operands operands) {
            Parameter bias = conv.bias();
            return operands.input(0, x)
                    .conv2d(
                            operands.weight(0, conv.weight().in(x)),
                            bias == null ? null : bias.in(x),
                            conv.padding(),
                            1);
        }

        @Override
        public Module pack(List<WeightFormat> weights, List<ActivationQuantizer> inputs) {
            Parameter bias = conv.bias();
            return quantized(
                    weights.getFirst(),
                    inputs.getFirst(),
                    bias == null ? null : bias.value().copy());
        }
    }

    /** A linear layer: its weight and its input. */
    record Projection(Linear linear) implements QuantizableLayer {
        @Override
        public Module module() {
            return linear;
        }

        @Override
        public List<Weight> weights() {
            return List.of(Weight.of(linear.weight()));
        }

        @Override
        public List<Weight> biases() {
            return List.of(Weight.of(linear.bias()));
        }

        @Override
        public List<String> inputs() {
            return List.of("");
        }

        @Override
        public List<Value> weightsAndBiases(Value x, Operands operands) {
            return List.of(
                    operands.weight(0, linear.weight().in(x)), linear.bias().in(x));
        }

        @Override
        public Value forward(Value x, Operands operands) {
            List<Value> w = weightsAndBiases(x, operands);
            return operands.input(0, x).linear(w.get(0), w.get(1));
        }

        @Override
        public Module pack(List<WeightFormat> weights, List<ActivationQuantizer> inputs) {
            return quantized(
                    weights.getFirst(), inputs.getFirst(), linear.bias().value().copy());
        }
    }

    /** A linear layer for queries, keys and values, each with a weight and an input of its own (2DQuant, "qkv separation"). */
    record Projections(Linear linear) implements QuantizableLayer {
        /** The names of the parts, in the order of the outputs. */
        static final List<String> PARTS = List.of("q", "k", "v");

        private Weight part(int index) {
            int outputs = linear.weight().value().dim(1) / PARTS.size();
            return new Weight(PARTS.get(index), linear.weight(), index * outputs, (index + 1) * outputs);
        }

        private Weight bias(int index) {
            Weight weight = part(index);
            return new Weight(weight.part(), linear.bias(), weight.from(), weight.to());
        }

        @Override
        public Module module() {
            return linear;
        }

        @Override
        public List<Weight> weights() {
            return List.of(part(0), part(1), part(2));
        }

        @Override
        public List<Weight> biases() {
            return List.of(bias(0), bias(1), bias(2));
        }

        @Override
        public List<String> inputs() {
            return PARTS;
        }

        @Override
        public List<Value> weightsAndBiases(Value x, Operands operands) {
            List<Value> w = new ArrayList<>();
            for (int i = 0; i < PARTS.size(); i++) {
                w.add(operands.weight(i, part(i).in(x)));
                w.add(bias(i).in(x));
            }
            return w;
        }

        @Override
        public Value forward(Value x, Operands operands) {
            List<Value> w = weightsAndBiases(x, operands);
            Value[] y = new Value[PARTS.size()];
            for (int i = 0; i < y.length; i++) {
                y[i] = operands.input(i, x).linear(w.get(2 * i), w.get(2 * i + 1));
            }
            return y[0].concat(-1, y[1], y[2]);
        }

        @Override
        public Module pack(List<WeightFormat> weights, List<ActivationQuantizer> inputs) {
            Module[] parts = new Module[PARTS.size()];
            for (int i = 0; i < parts.length; i++) {
                parts[i] = quantized(weights.get(i), inputs.get(i), bias(i).values());
            }
            return new QuantizedProjections(parts[0], parts[1], parts[2]);
        }
    }

    /** The products of attention: queries (multiplied by {@code depth^-1/2}), keys, probabilities and values. */
    record Products(AttentionProducts products) implements QuantizableLayer {
        @Override
        public Module module() {
            return products;
        }

        @Override
        public List<String> inputs() {
            return QuantizedAttention.INPUTS;
        }

        @Override
        public boolean isProbability(String input) {
            return input.equals("a");
        }

        @Override
        public Value forward(Value x, Operands operands) {
            return QuantizedAttention.forward(x, products, operands);
        }

        @Override
        public Module pack(List<WeightFormat> weights, List<ActivationQuantizer> inputs) {
            return new QuantizedAttention(
                    products, inputs.stream().map(QuantizableLayer::levels).toList());
        }
    }

    /** A layer on normalised inputs; weight number {@code i} belongs to input number {@code i}. */
    record Normalized(QuantizableLayer inner, NormalizedLayer normalized) implements QuantizableLayer {
        @Override
        public Module module() {
            return normalized;
        }

        @Override
        public List<Weight> weights() {
            return inner.weights();
        }

        @Override
        public List<Weight> biases() {
            return inner.biases();
        }

        @Override
        public List<String> inputs() {
            return inner.inputs();
        }

        @Override
        public Value forward(Value x, Operands operands) {
            return normalized.forward(x, operands);
        }

        @Override
        public Module pack(List<WeightFormat> weights, List<ActivationQuantizer> inputs) {
            List<ActivationQuantizer> own = new ArrayList<>();
            for (int i = 0; i < inputs.size(); i++) {
                own.add(stored(i, inputs.get(i)));
            }
            return inner.pack(weights, own);
        }

        @Override
        public ActivationQuantizer stored(int input, ActivationQuantizer quantizer) {
            return new NormalizedQuantizer(normalized.normalization(input), quantizer);
        }
    }

    /** A layer with a bypass past it. */
    record Bypassed(QuantizableLayer inner, BypassedLayer around) implements QuantizableLayer {
        @Override
        public Module module() {
            return around;
        }

        @Override
        public List<Weight> weights() {
            return inner.weights();
        }

        @Override
        public List<Weight> biases() {
            return inner.biases();
        }

        @Override
        public List<String> inputs() {
            return inner.inputs();
        }

        @Override
        public @Nullable NormalizedLayer normalized() {
            return inner.normalized();
        }

        @Override
        public Value forward(Value x, Operands operands) {
            return around.around(x, v -> inner.forward(v, operands));
        }

        @Override
        public Module pack(List<WeightFormat> weights, List<ActivationQuantizer> inputs) {
            return around.around(inner.pack(weights, inputs));
        }

        @Override
        public ActivationQuantizer stored(int input, ActivationQuantizer quantizer) {
            return inner.stored(input, quantizer);
        }
    }

    /** Returns the layer of a weight and an input: on packed codes if both have some, else on the dequantized weight. */
    static Module quantized(WeightFormat weight, ActivationQuantizer input, @Nullable Tensor bias) {
        UniformWeight executable = weight.executable();
        return executable != null && input.runsPacked()
                ? QuantizedConv2d.of(weight, executable, input, bias)
                : new DequantizedLayer(weight, input, bias);
    }

    /** Returns the levels of an input that is quantized the same everywhere. */
    static Levels levels(ActivationQuantizer input) {
        return input instanceof LevelQuantizer(LevelTable table) ? table : grid(input);
    }

    /** Returns the one grid of an input. */
    static UniformGrid grid(ActivationQuantizer input) {
        if (input instanceof UniformQuantizer uniform && uniform.isPerTensor()) {
            return uniform.grid(0);
        }
        throw new IllegalArgumentException("only inputs with one grid for the tensor run packed, not " + input);
    }
}
