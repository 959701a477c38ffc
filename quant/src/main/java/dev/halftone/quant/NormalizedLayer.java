// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.Module;
import dev.halftone.nn.Parameter;
import dev.halftone.nn.Value;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.ChannelNormalization;
import java.util.ArrayList;
import java.util.List;

/**
 * A layer that computes what it did, on inputs whose channels are normalised where they are quantized and brought back behind it:
 * {@code x' = g (x - o)}, and the weight, which is stored as {@code W' = W / g}, is quantized so. This is the equivalent
 * transformation of SmoothQuant and PassionSR, {@code X' = (X - o) / s} and {@code W' = W s}, with {@code g = 1 / s}.
 *
 * <p>The offset can be trained, and a factor of the gain, which begins at 1: in training {@code x' = g f (x - o)} and
 * {@code W' = (W' as stored) / f}, so whatever they are, the layer without quantizers stays what it was.
 */
public final class NormalizedLayer extends Module {
    /** One input's channels. */
    private final class Channels {
        final Parameter offset;
        final Parameter gain;
        final Parameter factor;

        Channels(String suffix, ChannelNormalization initial) {
            offset = parameter("offset" + suffix, initial.offset().copy(), Parameter.Layout.PLAIN);
            gain = buffer("gain" + suffix, initial.gain().copy(), Parameter.Layout.PLAIN);
            factor = parameter(
                    "factor" + suffix, Tensor.zeros(initial.gain().shape()).fill(1), Parameter.Layout.PLAIN);
        }

        Value gain(Value x) {
            return gain.in(x).multiply(factor.in(x));
        }

        ChannelNormalization normalization() {
            return new ChannelNormalization(offset.value().copy(), gain.value().copy());
        }
    }

    private final QuantizableLayer inner;
    private final List<Channels> channels = new ArrayList<>();

    /** Wraps a layer whose weights have been divided by the gains already. */
    NormalizedLayer(QuantizableLayer inner, List<ChannelNormalization> normalizations) {
        this.inner = inner;
        child("layer", inner.module());
        for (int i = 0; i < normalizations.size(); i++) {
            channels.add(new Channels(normalizations.size() == 1 ? "" : Integer.toString(i), normalizations.get(i)));
        }
    }

    @Override
    public Value forward(Value x) {
        return forward(x, new QuantizableLayer.Operands() {
            @Override
            public Value input(int index, Value v) {
                return v;
            }

            @Override
            public Value weight(int index, Value w) {
                return w;
            }
        });
    }

    /** Computes the layer; the operands are normalised. */
    Value forward(Value x, QuantizableLayer.Operands operands) {
        return inner.forward(x, new QuantizableLayer.Operands() {
            @Override
            public Value input(int index, Value v) {
                Channels c = channels.get(index);
                Value gain = c.gain(v);
                Value normalized = v.addScaled(-1, c.offset.in(v)).scaleChannels(-1, gain);
                return operands.input(index, normalized)
                        .divideChannels(-1, gain)
                        .add(c.offset.in(v));
            }

            @Override
            public Value weight(int index, Value w) {
                Channels c = channels.get(index);
                Value normalized = w.divideChannels(-2, c.factor.in(w));
                return operands.weight(index, normalized).scaleChannels(-2, c.gain(w));
            }
        });
    }

    /** Returns the normalisation of an input; factors must have been settled. */
    public ChannelNormalization normalization(int index) {
        return channels.get(index).normalization();
    }

    /** Returns the offsets of an input's channels. */
    Parameter offset(int index) {
        return channels.get(index).offset;
    }

    /** Returns the factors of an input's channels. */
    Parameter factor(int index) {
        return channels.get(index).factor;
    }

    /** Returns the mean gain of an input's channels. */
    double meanGain(int index) {
        Tensor gain = channels.get(index).gain.value();
        double sum = 0;
        for (int c = 0; c < gain.size(); c++) {
            sum += gain.get(c);
        }
        return sum / gain.size();
    }

    /** Keeps factors where a step of training may not bring them: they stay positive. */
    void keepPositive() {
        for (Channels c : channels) {
            Tensor f = c.factor.value();
            for (int i = 0; i < f.size(); i++) {
                f.set(Math.max(f.get(i), 1e-2f), i);
            }
        }
    }

    /** Takes the factors over into gains and weights, and starts from 1 again. */
    void settle(List<WeightOperand> weights) {
        for (int i = 0; i < channels.size(); i++) {
            Channels c = channels.get(i);
            Tensor f = c.factor.value();
            divide(weights.get(i), f);
            for (int j = 0; j < f.size(); j++) {
                c.gain.value().set(c.gain.value().get(j) * f.get(j), j);
            }
            f.fill(1);
        }
    }

    /** Divides a weight {@code [..., in, out]} by factors {@code [in]}. */
    static void divide(WeightOperand weight, Tensor factors) {
        Tensor w = weight.values();
        int out = w.dim(-1);
        for (int i = 0; i < w.size(); i++) {
            w.array()[i] /= factors.get(i / out % factors.size());
        }
        weight.setValues(w);
    }
}
