// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.AttentionGeometry;
import dev.halftone.tensor.kernels.AttentionKernels;
import dev.halftone.tensor.kernels.KernelProvider;
import org.jspecify.annotations.Nullable;

/**
 * Self-attention inside shifted windows (Liu et al. 2021, Swin Transformer, sections 3.1 and 3.2), without the linear layers around
 * it: operands {@code qkv [N, H, W, 3 C]} (queries, keys, values) and the relative position bias table {@code [(2 window - 1)^2,
 * heads]}; output {@code [N, H, W, C]}. Pixels that only the roll brought together do not attend to each other.
 *
 * <p>In elementary ops: roll by {@code -shift}, window partition, for each head {@code softmax(q k^T / sqrt(C / heads) + bias + mask)
 * v}, window reverse, roll back.
 *
 * @param heads divides C
 * @param window side of a window; divides H and W
 * @param shift 0 to {@code window - 1}
 */
public record WindowAttentionOp(int heads, int window, int shift) implements Op {
    /** Windows whose bias gradients are summed as one, so that the order of the sum does not depend on the threads. */
    private static final int BLOCK = 8;

    @Override
    public Shape outputShape(Shape... inputs) {
        Shape x = inputs[0];
        PixelMap.requireImages("window attention", x);
        if (heads < 1 || x.dim(3) % (3 * heads) != 0) {
            throw new IllegalArgumentException(
                    "window attention: " + x + " is not queries, keys and values of " + heads + " heads");
        }
        int entries = (2 * window - 1) * (2 * window - 1);
        if (!inputs[1].equals(Shape.of(entries, heads))) {
            throw new IllegalArgumentException(
                    "window attention: bias table " + inputs[1] + " instead of [" + entries + ", " + heads + "]");
        }
        AttentionGeometry g = geometry(x);
        return x.with(-1, g.channels());
    }

    /** Describes attention for {@code qkv} of this shape. */
    AttentionGeometry geometry(Shape x) {
        return new AttentionGeometry(x.dim(0), x.dim(1), x.dim(2), heads, x.dim(3) / (3 * heads), window, shift);
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        AttentionKernels kernels = KernelProvider.kernels().attention();
        AttentionGeometry g = geometry(inputs[0].shape());
        float[][] biases = biases(g, inputs[1]);
        compute.forEachRange(g.windows(), BLOCK, (from, to) -> {
            float[] scratch = compute.borrow(kernels.scratch(g));
            kernels.forward(g, inputs[0], biases, output, scratch, from, to);
            compute.giveBack(scratch);
        });
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        AttentionKernels kernels = KernelProvider.kernels().attention();
        AttentionGeometry g = geometry(inputs[0].shape());
        float[][] biases = biases(g, inputs[1]);
        Tensor dqkv = Tensor.zeros(inputs[0].shape());
        PartialGradients sums = new PartialGradients(g.windows(), BLOCK, Shape.of(heads * g.pixels() * g.stride()));
        compute.forEachRange(g.windows(), sums.unitsPerBlock(), (from, to) -> {
            float[] scratch = compute.borrow(kernels.scratch(g));
            kernels.backward(g, inputs[0], biases, gradient, dqkv, sums.of(from, 0), scratch, from, to);
            compute.giveBack(scratch);
        });
        return new @Nullable Tensor[] {
            wanted[0] ? dqkv : null, wanted[1] ? tableGradient(g, sums.total(compute)[0]) : null
        };
    }

    /** Returns what is added to the scores in windows of each kind, the mask included, {@code [heads, key, query]}. */
    static float[][] biases(AttentionGeometry g, Tensor table) {
        int n = g.pixels();
        int[][] index = Windows.relativePositionIndex(g.window());
        // The kinds of windows are those of an image of two by two.
        Tensor mask = g.shift() == 0
                ? Tensor.zeros(1, n, n)
                : Windows.shiftMask(2 * g.window(), 2 * g.window(), g.window(), g.shift());
        float[][] biases = new float[g.kinds()][g.heads() * n * g.stride()];
        for (int kind = 0; kind < biases.length; kind++) {
            for (int head = 0; head < g.heads(); head++) {
                for (int key = 0; key < n; key++) {
                    int to = (head * n + key) * g.stride();
                    for (int query = 0; query < n; query++) {
                        biases[kind][to + query] = table.array()[table.offset() + index[query][key] * g.heads() + head]
                                + mask.array()[(kind * n + query) * n + key];
                    }
                }
            }
        }
        return biases;
    }

    /** Returns the gradient of the table from those of the biases {@code [heads, key, query]}. */
    static Tensor tableGradient(AttentionGeometry g, Tensor dBias) {
        int n = g.pixels();
        int[][] index = Windows.relativePositionIndex(g.window());
        Tensor gradient = Tensor.zeros((2 * g.window() - 1) * (2 * g.window() - 1), g.heads());
        double[] sums = new double[gradient.size()];
        for (int head = 0; head < g.heads(); head++) {
            for (int key = 0; key < n; key++) {
                int from = dBias.offset() + (head * n + key) * g.stride();
                for (int query = 0; query < n; query++) {
                    sums[index[query][key] * g.heads() + head] += dBias.array()[from + query];
                }
            }
        }
        for (int i = 0; i < sums.length; i++) {
            gradient.array()[i] = (float) sums[i];
        }
        return gradient;
    }
}
