// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.Conv2d;
import dev.halftone.nn.Module;
import dev.halftone.nn.Parameter;
import dev.halftone.nn.Site;
import dev.halftone.nn.Value;
import java.util.List;
import java.util.Optional;

/** The formula of a layer with its operands left open, so that it can be observed, quantized in fp32, or packed. */
sealed interface QuantizableLayer {
    /** What takes the place of the operands. */
    interface Operands {
        /** Returns what is used for an input. */
        Value input(int index, Value x);

        /** Returns what is used for a weight {@code [..., out]}. */
        Value weight(int index, Value w);
    }

    /** Returns the formula of the layer at a site, or empty if layers of its kind are not quantized. */
    static Optional<QuantizableLayer> of(Site site) {
        return site.slot().module() instanceof Conv2d conv ? Optional.of(new Convolution(conv)) : Optional.empty();
    }

    /** Returns the layer itself. */
    Module module();

    /** Returns what is quantized of its parameters. */
    List<Parameter> weights();

    /** Returns the names of what is quantized of its inputs; one without a name is the layer's only input. */
    List<String> inputs();

    /** Computes the layer on other operands. */
    Value forward(Value x, Operands operands);

    /** Returns the layer that runs on packed codes. */
    Module pack(List<UniformQuantizer> weights, List<ActivationQuantizer> inputs);

    /** A convolution: its weight per tensor or per output channel, and its input. Padding is not quantized. */
    record Convolution(Conv2d conv) implements QuantizableLayer {
        public Convolution {
            QuantizedConv2d.requireSupported(conv);
        }

        @Override
        public Module module() {
            return conv;
        }

        @Override
        public List<Parameter> weights() {
            return List.of(conv.weight());
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
        public Module pack(List<UniformQuantizer> weights, List<ActivationQuantizer> inputs) {
            return QuantizedConv2d.of(conv, weights.getFirst(), inputs.getFirst());
        }
    }
}
