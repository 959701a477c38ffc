// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Levels;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.AttentionGeometry;
import dev.halftone.tensor.kernels.AttentionGrids;
import dev.halftone.tensor.kernels.AttentionKernels;
import dev.halftone.tensor.kernels.KernelProvider;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Self-attention inside shifted windows (Liu et al. 2021, Swin Transformer, sections 3.1 and 3.2), without the linear layers around
 * it: operands {@code qkv [N, H, W, 3 C]} (queries, keys, values) and the relative position bias table {@code [(2 window - 1)^2,
 * heads]}; output {@code [N, H, W, C]}. Pixels that only the roll brought together do not attend to each other.
 *
 * <p>In elementary ops: roll by {@code -shift}, window partition, for each head {@code softmax(q k^T / sqrt(C / heads) + bias + mask)
 * v}, window reverse, roll back.
 *
 * <p>With bits, the operands of both products are quantized and dequantized (2DQuant, Liu et al. 2024), and a third operand {@code [4,
 * 2]} has the bounds of queries (multiplied by {@code depth^-1/2}), keys, probabilities and values. With levels they are rounded to these,
 * and there is no third operand.
 *
 * @param heads divides C
 * @param window side of a window; divides H and W
 * @param shift 0 to {@code window - 1}
 * @param bits of the codes of queries, keys, probabilities and values; empty where they are not quantized, or have levels
 * @param levels of queries, keys, probabilities and values; empty where they are not quantized, or have bits
 */
public record WindowAttentionOp(int heads, int window, int shift, List<Integer> bits, List<Levels> levels)
        implements Op {
    /** Windows whose bias gradients are summed as one, so that the order of the sum does not depend on the threads. */
    private static final int BLOCK = 8;

    /** Copies the lists. */
    public WindowAttentionOp {
        bits = List.copyOf(bits);
        levels = List.copyOf(levels);
        int quantized = bits.size() + levels.size();
        if (quantized != 0 && (quantized != 4 || bits.size() == levels.size())) {
            throw new IllegalArgumentException("window attention has 4 operands, not bits for " + bits.size()
                    + " and levels for " + levels.size());
        }
    }

    /** Creates attention in fp32. */
    public WindowAttentionOp(int heads, int window, int shift) {
        this(heads, window, shift, List.of(), List.of());
    }

    /** Creates attention on quantized operands, whose bounds are an operand too. */
    public WindowAttentionOp(int heads, int window, int shift, List<Integer> bits) {
        this(heads, window, shift, bits, List.of());
    }

    /** Returns whether its operands are quantized. */
    public boolean isQuantized() {
        return !bits.isEmpty() || !levels.isEmpty();
    }

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
        if (!bits.isEmpty()) {
            Bounds.require("window attention", bits, inputs[2]);
        }
        AttentionGeometry g = geometry(x);
        return x.with(-1, g.channels());
    }

    /** Returns the levels of operands, with these bounds where there are any, or null where they are not quantized. */
    @Nullable
    AttentionGrids grids(@Nullable Tensor bounds) {
        if (!levels.isEmpty()) {
            return AttentionGrids.of(levels.get(0), levels.get(1), levels.get(2), levels.get(3));
        }
        if (bits.isEmpty() || bounds == null) {
            return null;
        }
        UniformGrid[] grids = Bounds.grids(bits, bounds);
        return AttentionGrids.of(grids[0], grids[1], grids[2], grids[3]);
    }

    private @Nullable AttentionGrids grids(Tensor[] inputs) {
        return grids(bits.isEmpty() ? null : inputs[2]);
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
        AttentionGrids grids = grids(inputs);
        compute.forEachRange(g.windows(), BLOCK, (from, to) -> {
            float[] scratch = compute.borrow(kernels.scratch(g));
            kernels.forward(g, inputs[0], biases, grids, output, scratch, from, to);
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
        AttentionGrids grids = grids(inputs);
        PartialGradients sums =
                new PartialGradients(g.windows(), BLOCK, Shape.of(heads * g.pixels() * g.stride()), Shape.of(4, 2));
        compute.forEachRange(g.windows(), sums.unitsPerBlock(), (from, to) -> {
            float[] scratch = compute.borrow(kernels.scratch(g));
            Tensor dBounds = grids == null ? null : sums.of(from, 1);
            kernels.backward(g, inputs[0], biases, grids, gradient, dqkv, sums.of(from, 0), dBounds, scratch, from, to);
            compute.giveBack(scratch);
        });
        Tensor[] total = sums.total(compute);
        @Nullable Tensor[] result = new @Nullable Tensor[inputs.length];
        result[0] = wanted[0] ? dqkv : null;
        result[1] = wanted[1] ? tableGradient(g, total[0]) : null;
        if (!bits.isEmpty()) {
            result[2] = wanted[2] ? total[1] : null;
        }
        return result;
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
