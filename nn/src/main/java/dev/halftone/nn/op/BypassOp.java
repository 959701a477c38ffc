// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * A layer's input past the layer: {@code y + gain * bypass(x)} for {@code y [..., Cout]}, {@code x [..., Cin]} and {@code gain [Cout]}.
 * The bypass has no parameters, it repeats and averages channels (BiDense's channel-adaptive full-precision bypass, Yin et al.
 * 2024): with {@code Cout = q Cin + r} the output is the channels {@code q} times, and then {@code r} means, each of the first {@code r
 * - 1} over {@code Cin / r} consecutive channels (rounded down), and the last over those that are left.
 */
public record BypassOp() implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        Shape y = inputs[0];
        Shape x = inputs[1];
        boolean fits = x.rank() == y.rank()
                && x.with(-1, y.dim(-1)).equals(y)
                && inputs[2].rank() == 1
                && inputs[2].dim(0) == y.dim(-1);
        if (!fits) {
            throw new IllegalArgumentException(
                    "bypass: from " + x + " to " + y + " with " + inputs[2] + ", which must be one gain per channel");
        }
        return y;
    }

    @Override
    public boolean elementwise() {
        return true;
    }

    @Override
    public Reach reach(Shape... inputs) {
        return Reach.ROW;
    }

    /** Returns where the channels begin that an output channel is the mean of. */
    private static int from(int channel, int in, int out) {
        int remainder = out % in;
        int copied = out - remainder;
        return channel < copied ? channel % in : (channel - copied) * (in / remainder);
    }

    /** Returns where they end. */
    private static int to(int channel, int in, int out) {
        if (channel < out - out % in) {
            return channel % in + 1;
        }
        return channel == out - 1 ? in : from(channel + 1, in, out);
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        Tensor y = inputs[0];
        Tensor x = inputs[1];
        float[] gain = inputs[2].toArray();
        int out = gain.length;
        int in = x.dim(-1);
        int copied = out - out % in;
        ChannelRows.forEach(compute, output, (first, end) -> {
            for (int row = first; row < end; row++) {
                int source = x.offset() + row * in;
                int at = y.offset() + row * out;
                int into = output.offset() + row * out;
                for (int block = 0; block < copied; block += in) {
                    for (int c = 0; c < in; c++) {
                        output.array()[into + block + c] =
                                y.array()[at + block + c] + gain[block + c] * x.array()[source + c];
                    }
                }
                for (int c = copied; c < out; c++) {
                    output.array()[into + c] = y.array()[at + c] + gain[c] * mean(x, source, c, in, out);
                }
            }
        });
    }

    private static float mean(Tensor x, int source, int channel, int in, int out) {
        int from = from(channel, in, out);
        int to = to(channel, in, out);
        float sum = 0;
        for (int i = from; i < to; i++) {
            sum += x.array()[source + i];
        }
        return sum / (to - from);
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        Tensor x = inputs[1];
        float[] gain = inputs[2].toArray();
        int out = gain.length;
        int in = x.dim(-1);
        Tensor dx = wanted[1] ? Tensor.zeros(x.shape()) : null;
        int copied = out - out % in;
        Tensor dGain = ChannelRows.sums(compute, gradient, out, (first, end, own) -> {
            for (int row = first; row < end; row++) {
                int at = gradient.offset() + row * out;
                int source = x.offset() + row * in;
                for (int block = 0; block < copied; block += in) {
                    for (int c = 0; c < in; c++) {
                        own[block + c] += (double) gradient.array()[at + block + c] * x.array()[source + c];
                    }
                    if (dx != null) {
                        for (int c = 0; c < in; c++) {
                            dx.array()[row * in + c] += gain[block + c] * gradient.array()[at + block + c];
                        }
                    }
                }
                for (int c = copied; c < out; c++) {
                    float g = gradient.array()[at + c];
                    int from = from(c, in, out);
                    int to = to(c, in, out);
                    own[c] += (double) g * mean(x, source, c, in, out);
                    for (int i = from; dx != null && i < to; i++) {
                        dx.array()[row * in + i] += gain[c] * g / (to - from);
                    }
                }
            }
        });
        return new @Nullable Tensor[] {wanted[0] ? gradient : null, dx, wanted[2] ? dGain : null};
    }
}
