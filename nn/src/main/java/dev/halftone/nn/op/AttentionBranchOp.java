// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.AttentionGeometry;
import dev.halftone.tensor.kernels.AttentionGrids;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.Kernels;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The first branch of a Swin Transformer block as one op, {@code y = x + proj(attention(qkv(norm(x))))}: what happens to a window stays
 * in the cache, and backward computes it again instead of keeping it. Operands {@code x [N, H, W, C]}, weight and bias of the
 * {@link LayerNormOp}, the bias table of the {@link WindowAttentionOp}, weight and bias of the {@link LinearOp} after it, and then weight
 * and bias of one {@link LinearOp} to queries, keys and values, or of one for each.
 *
 * <p>With bits, the inputs of the linear layers are quantized and dequantized as {@link FakeQuantizeOp} does, and two more operands have
 * their bounds, those of the linear layers before the attention and then that of the one after it, {@code [.., 2]}, and those of the
 * attention, {@code [4, 2]}.
 *
 * @param attention what happens between the linear layers; it has bits too, or both have none
 * @param bits of the inputs of the linear layers; empty where they are not quantized
 */
public record AttentionBranchOp(float epsilon, WindowAttentionOp attention, List<Integer> bits) implements Op {
    /** Windows whose weight gradients are summed as one. */
    private static final int BLOCK = 8;

    /** The operand that is the weight of the first linear layer before the attention. */
    private static final int PARTS = 6;

    /** Copies the list. */
    public AttentionBranchOp {
        bits = List.copyOf(bits);
        if (bits.isEmpty() != attention.bits().isEmpty() || !attention.levels().isEmpty()) {
            throw new IllegalArgumentException("the inputs of linear layers have " + bits + " bits, those of attention "
                    + attention.bits() + " and levels " + attention.levels());
        }
    }

    /** Creates the branch in fp32. */
    public AttentionBranchOp(float epsilon, WindowAttentionOp attention) {
        this(epsilon, attention, List.of());
    }

    /** Returns how many linear layers give queries, keys and values. */
    private int parts(int operands) {
        return (operands - PARTS - (bits.isEmpty() ? 0 : 2)) / 2;
    }

    private boolean quantized() {
        return !bits.isEmpty();
    }

    @Override
    public Shape outputShape(Shape... inputs) {
        Shape x = new LayerNormOp(epsilon).outputShape(inputs[0], inputs[1], inputs[2]);
        int parts = parts(inputs.length);
        int outputs = 0;
        for (int p = 0; p < parts; p++) {
            outputs += new LinearOp()
                    .outputShape(x, inputs[PARTS + 2 * p], inputs[PARTS + 2 * p + 1])
                    .dim(-1);
        }
        Shape attended;
        if (quantized()) {
            if (bits.size() != parts + 1) {
                throw new IllegalArgumentException(
                        "attention branch: bits for " + bits.size() + " inputs of " + (parts + 1));
            }
            Bounds.require("attention branch", bits, inputs[inputs.length - 2]);
            attended = attention.outputShape(x.with(-1, outputs), inputs[3], inputs[inputs.length - 1]);
        } else {
            attended = attention.outputShape(x.with(-1, outputs), inputs[3]);
        }
        Shape y = new LinearOp().outputShape(attended, inputs[4], inputs[5]);
        if (!y.equals(x)) {
            throw new IllegalArgumentException("attention branch: " + y + " cannot be added to " + x);
        }
        return x;
    }

    /** Everything about one window, in scratch memory. */
    private final class Window {
        final Kernels kernels = KernelProvider.kernels();
        final Tensor[] inputs;
        final AttentionGeometry all;
        /** A map that is one window. */
        final AttentionGeometry one;

        final int n;
        final int parts;
        final WindowRows rows;
        final float[][] biases;
        final UniformGrid[] grids;
        final @Nullable AttentionGrids attentionGrids;
        final float[] scratch;
        final Tensor x;
        final Tensor normal;
        final Tensor qkv;
        final Tensor attended;
        final Tensor y;
        final Tensor dqkv;
        final Tensor levels;
        final Tensor dNormal;
        final float[] part;
        final float[] attentionScratch;

        Window(Compute compute, Tensor[] inputs, AttentionGeometry all, float[][] biases) {
            this.inputs = inputs;
            this.all = all;
            this.biases = biases;
            one = new AttentionGeometry(1, all.window(), all.window(), all.heads(), all.depth(), all.window(), 0);
            n = all.pixels();
            parts = parts(inputs.length);
            rows = new WindowRows(all);
            grids = quantized() ? Bounds.grids(bits, inputs[inputs.length - 2]) : new UniformGrid[0];
            attentionGrids = attention.grids(quantized() ? inputs[inputs.length - 1] : null);
            int channels = all.channels();
            // Equal sizes, so that whichever is lent again serves.
            int size = Math.max(12 * n * channels, kernels.attention().scratch(one));
            scratch = compute.borrow(size);
            attentionScratch = compute.borrow(size);
            part = compute.borrow(size);
            x = rows(0, channels);
            normal = rows(1, channels);
            attended = rows(2, channels);
            y = rows(3, channels);
            qkv = rows(4, 3 * channels);
            dqkv = rows(7, 3 * channels);
            levels = rows(10, channels);
            dNormal = rows(11, channels);
        }

        private Tensor rows(int at, int columns) {
            return Tensor.wrap(scratch, at * n * all.channels(), Shape.of(n, columns));
        }

        private Tensor weight(int p) {
            return inputs[PARTS + 2 * p];
        }

        /** Returns what a linear layer multiplies for its input: the input, or its levels in {@link #levels}. */
        Tensor operand(Tensor input, int grid) {
            if (!quantized()) {
                return input;
            }
            kernels.pointwise().fakeQuantize(input, grids[grid], levels, 0, levels.size());
            return levels;
        }

        /** Turns the gradient of what {@link #operand} gave into that of the input. */
        void straightThrough(Tensor input, int grid, Tensor gradient, Tensor dBounds) {
            if (quantized()) {
                kernels.pointwise()
                        .fakeQuantizeGradient(input, grids[grid], gradient, gradient, 0, gradient.size())
                        .addTo(dBounds, grid, grids[grid]);
            }
        }

        /** Returns the memory for the outputs of a linear layer before the attention. */
        Tensor outputs(int p, Tensor all) {
            return parts == 1 ? all : Tensor.wrap(part, 0, Shape.of(n, weight(p).dim(1)));
        }

        /** Computes all up to what the attention gives. */
        void attend(int window) {
            rows.at(window);
            rows.gather(inputs[0], x);
            kernels.norm().layerNorm(x, inputs[1], inputs[2], epsilon, normal, 0, n);
            int column = 0;
            for (int p = 0; p < parts; p++) {
                Tensor out = outputs(p, qkv);
                kernels.matmul().matmul(operand(normal, p), weight(p), inputs[PARTS + 2 * p + 1], out, 0, n);
                if (parts > 1) {
                    WindowRows.toColumns(out, qkv, column);
                }
                column += weight(p).dim(1);
            }
            kernels.attention().forward(one, qkv, bias(window), attentionGrids, attended, attentionScratch, 0, 1);
        }

        /** Returns the biases of the only window of {@link #one}. */
        float[][] bias(int window) {
            return new float[][] {biases[all.kind(window)]};
        }

        void giveBack(Compute compute) {
            compute.giveBack(scratch);
            compute.giveBack(attentionScratch);
            compute.giveBack(part);
        }
    }

    private AttentionGeometry geometry(Tensor x) {
        return attention.geometry(x.shape().with(-1, 3 * x.dim(-1)));
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        AttentionGeometry g = geometry(inputs[0]);
        float[][] biases = WindowAttentionOp.biases(g, inputs[3]);
        compute.forEachRange(g.windows(), BLOCK, (from, to) -> {
            Window w = new Window(compute, inputs, g, biases);
            for (int window = from; window < to; window++) {
                w.attend(window);
                w.kernels.matmul().matmul(w.operand(w.attended, w.parts), inputs[4], inputs[5], w.y, 0, w.n);
                w.kernels.pointwise().add(w.x, w.y, w.y, 0, w.y.size());
                w.rows.scatter(w.y, output);
            }
            w.giveBack(compute);
        });
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        AttentionGeometry g = geometry(inputs[0]);
        float[][] biases = WindowAttentionOp.biases(g, inputs[3]);
        Tensor dx = Tensor.zeros(inputs[0].shape());
        // Gradients of all operands but the first, in their order; those of weight and bias of the norm are one.
        List<Shape> shapes = new ArrayList<>();
        shapes.add(Shape.of(2, g.channels()));
        shapes.add(Shape.of(g.heads() * g.pixels() * g.stride()));
        for (int i = 4; i < inputs.length; i++) {
            Shape shape = inputs[i].shape();
            shapes.add(shape.rank() == 1 ? Shape.of(1, shape.dim(0)) : shape);
        }
        PartialGradients sums = new PartialGradients(g.windows(), BLOCK, shapes.toArray(Shape[]::new));
        Tensor[] transposed = new Tensor[inputs.length];
        transposed[4] = inputs[4].permute(1, 0);
        for (int p = 0; p < parts(inputs.length); p++) {
            transposed[PARTS + 2 * p] = inputs[PARTS + 2 * p].permute(1, 0);
        }
        Tensor ones = Tensor.zeros(g.pixels(), 1).fill(1);
        compute.forEachRange(g.windows(), sums.unitsPerBlock(), (from, to) -> {
            Window w = new Window(compute, inputs, g, biases);
            Tensor[] d = new Tensor[inputs.length];
            for (int i = 2; i < d.length; i++) {
                d[i] = sums.of(from, i - 2);
            }
            for (int window = from; window < to; window++) {
                w.attend(window);
                backward(w, window, gradient, transposed, ones, d);
                w.rows.scatter(w.dNormal, dx);
            }
            w.giveBack(compute);
        });
        Tensor[] total = sums.total(compute);
        @Nullable Tensor[] result = new @Nullable Tensor[inputs.length];
        result[0] = wanted[0] ? dx : null;
        result[1] = wanted[1] ? total[0].slice(0) : null;
        result[2] = wanted[2] ? total[0].slice(1) : null;
        result[3] = wanted[3] ? WindowAttentionOp.tableGradient(g, total[1]) : null;
        for (int i = 4; i < inputs.length; i++) {
            result[i] = wanted[i] ? total[i - 2].reshape(inputs[i].shape()) : null;
        }
        return result;
    }

    /** Leaves the gradient of the window's pixels in {@code w.dNormal} and adds the others to {@code d}, by operand; 2 is the norm's. */
    private void backward(Window w, int window, Tensor gradient, Tensor[] transposed, Tensor ones, Tensor[] d) {
        Kernels kernels = w.kernels;
        int channels = w.all.channels();
        int n = w.n;
        Tensor dBounds = d[d.length - 2];
        Tensor dy = w.y;
        w.rows.gather(gradient, dy);
        Tensor operand = w.operand(w.attended, w.parts);
        kernels.matmul().addTransposedA(operand, dy, d[4], 0, channels);
        kernels.matmul().addTransposedA(ones, dy, d[5], 0, 1);
        Tensor dAttended = w.dNormal;
        kernels.matmul().matmul(dy, transposed[4], null, dAttended, 0, n);
        w.straightThrough(w.attended, w.parts, dAttended, dBounds);
        kernels.attention()
                .backward(
                        w.one,
                        w.qkv,
                        w.bias(window),
                        w.attentionGrids,
                        dAttended,
                        w.dqkv,
                        d[3],
                        quantized() ? d[d.length - 1] : null,
                        w.attentionScratch,
                        0,
                        1);
        Tensor sum = w.dNormal;
        int column = 0;
        for (int p = 0; p < w.parts; p++) {
            int at = PARTS + 2 * p;
            Tensor dOut = w.outputs(p, w.dqkv);
            if (w.parts > 1) {
                WindowRows.fromColumns(w.dqkv, column, dOut);
            }
            kernels.matmul().addTransposedA(w.operand(w.normal, p), dOut, d[at], 0, channels);
            kernels.matmul().addTransposedA(ones, dOut, d[at + 1], 0, 1);
            Tensor dInput = p == 0 ? sum : w.levels;
            kernels.matmul().matmul(dOut, transposed[at], null, dInput, 0, n);
            w.straightThrough(w.normal, p, dInput, dBounds);
            if (p > 0) {
                kernels.pointwise().add(sum, dInput, sum, 0, sum.size());
            }
            column += dOut.dim(1);
        }
        Tensor dxRows = w.normal;
        kernels.norm().layerNormGradient(w.x, w.inputs[1], epsilon, sum, dxRows, d[2], 0, n);
        kernels.pointwise().add(dxRows, dy, w.dNormal, 0, dxRows.size());
    }
}
