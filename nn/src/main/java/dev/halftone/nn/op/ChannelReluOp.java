// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * RPReLU (ReActNet, Liu et al. 2020, equation 6): a leaky ReLU of every channel whose kink and slope are parameters. Operands {@code x
 * [..., C]}, {@code before}, {@code slope} and {@code after}, all {@code [C]}; with {@code z = x - before}
 *
 * <pre>{@code  y = (z > 0 ? z : slope z) + after }</pre>
 */
public record ChannelReluOp() implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        for (int i = 1; i < inputs.length; i++) {
            if (inputs[i].rank() != 1 || inputs[i].dim(0) != inputs[0].dim(-1)) {
                throw new IllegalArgumentException(
                        "channel relu: " + inputs[i] + " for " + inputs[0] + " must have one number per channel");
            }
        }
        return inputs[0];
    }

    @Override
    public boolean elementwise() {
        return true;
    }

    @Override
    public Reach reach(Shape... inputs) {
        return Reach.ROW;
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        Tensor x = inputs[0];
        float[] before = inputs[1].toArray();
        float[] slope = inputs[2].toArray();
        float[] after = inputs[3].toArray();
        ChannelRows.forEach(compute, output, (from, to) -> {
            for (int row = from; row < to; row++) {
                int at = x.offset() + row * before.length;
                int into = output.offset() + row * before.length;
                for (int c = 0; c < before.length; c++) {
                    float z = x.array()[at + c] - before[c];
                    output.array()[into + c] = Math.max(z, 0) + slope[c] * Math.min(z, 0) + after[c];
                }
            }
        });
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        Tensor x = inputs[0];
        float[] before = inputs[1].toArray();
        float[] slope = inputs[2].toArray();
        int channels = before.length;
        Tensor dx = Tensor.zeros(x.shape());
        // For before, slope and after.
        Tensor sums = ChannelRows.sums(compute, x, 3 * channels, (from, to, own) -> {
            for (int row = from; row < to; row++) {
                int at = row * channels;
                for (int c = 0; c < channels; c++) {
                    float z = x.array()[x.offset() + at + c] - before[c];
                    float g = gradient.array()[gradient.offset() + at + c];
                    float passed = z > 0 ? g : slope[c] * g;
                    dx.array()[at + c] = passed;
                    own[c] -= passed;
                    own[channels + c] += (double) Math.min(z, 0) * g;
                    own[2 * channels + c] += g;
                }
            }
        });
        @Nullable Tensor[] parts = new Tensor[4];
        parts[0] = wanted[0] ? dx : null;
        for (int i = 1; i < parts.length; i++) {
            if (wanted[i]) {
                parts[i] = Tensor.zeros(channels);
                System.arraycopy(sums.array(), (i - 1) * channels, parts[i].array(), 0, channels);
            }
        }
        return parts;
    }
}
