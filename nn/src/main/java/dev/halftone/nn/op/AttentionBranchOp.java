// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.AttentionGeometry;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.Kernels;
import org.jspecify.annotations.Nullable;

/**
 * The first branch of a Swin Transformer block as one op, {@code y = x + proj(attention(qkv(norm(x))))}: what happens to a window stays
 * in the cache, and backward computes it again instead of keeping it. Operands {@code x [N, H, W, C]}, weight and bias of the
 * {@link LayerNormOp}, weight and bias of the {@link LinearOp} to queries, keys and values, the bias table of the
 * {@link WindowAttentionOp}, weight and bias of the {@link LinearOp} after it.
 *
 * @param attention what happens between the linear layers
 */
public record AttentionBranchOp(float epsilon, WindowAttentionOp attention) implements Op {
    /** Windows whose weight gradients are summed as one. */
    private static final int BLOCK = 8;

    @Override
    public Shape outputShape(Shape... inputs) {
        Shape x = new LayerNormOp(epsilon).outputShape(inputs[0], inputs[1], inputs[2]);
        Shape qkv = new LinearOp().outputShape(x, inputs[3], inputs[4]);
        Shape y = new LinearOp().outputShape(attention.outputShape(qkv, inputs[5]), inputs[6], inputs[7]);
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

        final float[] scratch;
        final int[] pixels;
        final Tensor x;
        final Tensor normal;
        final Tensor qkv;
        final Tensor attended;
        final Tensor y;
        final Tensor dqkv;
        final float[] attentionScratch;

        Window(Compute compute, Tensor[] inputs, AttentionGeometry all) {
            this.inputs = inputs;
            this.all = all;
            one = new AttentionGeometry(1, all.window(), all.window(), all.heads(), all.depth(), all.window(), 0);
            int n = all.pixels();
            int channels = all.channels();
            scratch = compute.borrow(
                    Math.max(10 * n * channels, kernels.attention().scratch(one)));
            attentionScratch = compute.borrow(
                    Math.max(10 * n * channels, kernels.attention().scratch(one)));
            pixels = new int[n];
            x = part(0, channels);
            normal = part(1, channels);
            attended = part(2, channels);
            y = part(3, channels);
            qkv = part(4, 3 * channels);
            dqkv = part(7, 3 * channels);
        }

        private Tensor part(int at, int columns) {
            int n = all.pixels();
            return Tensor.wrap(scratch, at * n * all.channels(), Shape.of(n, columns));
        }

        /** Computes all up to what the attention gives. */
        void attend(int window, float[][] biases) {
            all.pixels(window, pixels);
            gather(inputs[0], x);
            int n = all.pixels();
            kernels.norm().layerNorm(x, inputs[1], inputs[2], epsilon, normal, 0, n);
            kernels.matmul().matmul(normal, inputs[3], inputs[4], qkv, 0, n);
            kernels.attention().forward(one, qkv, bias(window, biases), attended, attentionScratch, 0, 1);
        }

        /** Returns the biases of the only window of {@link #one}. */
        float[][] bias(int window, float[][] biases) {
            return new float[][] {biases[all.kind(window)]};
        }

        void gather(Tensor map, Tensor rows) {
            int channels = all.channels();
            for (int i = 0; i < pixels.length; i++) {
                System.arraycopy(
                        map.array(),
                        map.offset() + pixels[i] * channels,
                        rows.array(),
                        rows.offset() + i * channels,
                        channels);
            }
        }

        void scatter(Tensor rows, Tensor map) {
            int channels = all.channels();
            for (int i = 0; i < pixels.length; i++) {
                System.arraycopy(
                        rows.array(),
                        rows.offset() + i * channels,
                        map.array(),
                        map.offset() + pixels[i] * channels,
                        channels);
            }
        }

        void giveBack(Compute compute) {
            compute.giveBack(scratch);
            compute.giveBack(attentionScratch);
        }
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        AttentionGeometry g = attention.geometry(inputs[0].shape().with(-1, inputs[4].size()));
        float[][] biases = WindowAttentionOp.biases(g, inputs[5]);
        int n = g.pixels();
        compute.forEachRange(g.windows(), BLOCK, (from, to) -> {
            Window w = new Window(compute, inputs, g);
            for (int window = from; window < to; window++) {
                w.attend(window, biases);
                w.kernels.matmul().matmul(w.attended, inputs[6], inputs[7], w.y, 0, n);
                w.kernels.pointwise().add(w.x, w.y, w.y, 0, w.y.size());
                w.scatter(w.y, output);
            }
            w.giveBack(compute);
        });
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        AttentionGeometry g = attention.geometry(inputs[0].shape().with(-1, inputs[4].size()));
        float[][] biases = WindowAttentionOp.biases(g, inputs[5]);
        int n = g.pixels();
        int channels = g.channels();
        Tensor qkvTransposed = inputs[3].permute(1, 0);
        Tensor projTransposed = inputs[6].permute(1, 0);
        Tensor ones = Tensor.zeros(n, 1).fill(1);
        Tensor dx = Tensor.zeros(inputs[0].shape());
        PartialGradients sums = new PartialGradients(
                g.windows(),
                BLOCK,
                Shape.of(2, channels),
                inputs[3].shape(),
                Shape.of(1, 3 * channels),
                Shape.of(g.heads() * n * g.stride()),
                inputs[6].shape(),
                Shape.of(1, channels));
        compute.forEachRange(g.windows(), sums.unitsPerBlock(), (from, to) -> {
            Window w = new Window(compute, inputs, g);
            Tensor dy = w.y;
            for (int window = from; window < to; window++) {
                w.attend(window, biases);
                w.gather(gradient, dy);
                w.kernels.matmul().addTransposedA(w.attended, dy, sums.of(window, 4), 0, channels);
                w.kernels.matmul().addTransposedA(ones, dy, sums.of(window, 5), 0, 1);
                Tensor dAttended = w.attended;
                w.kernels.matmul().matmul(dy, projTransposed, null, dAttended, 0, n);
                w.kernels
                        .attention()
                        .backward(
                                w.one,
                                w.qkv,
                                w.bias(window, biases),
                                dAttended,
                                w.dqkv,
                                sums.of(window, 3),
                                w.attentionScratch,
                                0,
                                1);
                w.kernels.matmul().addTransposedA(w.normal, w.dqkv, sums.of(window, 1), 0, channels);
                w.kernels.matmul().addTransposedA(ones, w.dqkv, sums.of(window, 2), 0, 1);
                Tensor dNormal = w.attended;
                w.kernels.matmul().matmul(w.dqkv, qkvTransposed, null, dNormal, 0, n);
                Tensor dxRows = w.normal;
                w.kernels.norm().layerNormGradient(w.x, inputs[1], epsilon, dNormal, dxRows, sums.of(window, 0), 0, n);
                w.kernels.pointwise().add(dxRows, dy, dxRows, 0, dxRows.size());
                w.scatter(dxRows, dx);
            }
            w.giveBack(compute);
        });
        Tensor[] total = sums.total(compute);
        return new @Nullable Tensor[] {
            wanted[0] ? dx : null,
            wanted[1] ? total[0].slice(0) : null,
            wanted[2] ? total[0].slice(1) : null,
            wanted[3] ? total[1] : null,
            wanted[4] ? total[2].slice(0) : null,
            wanted[5] ? WindowAttentionOp.tableGradient(g, total[3]) : null,
            wanted[6] ? total[4] : null,
            wanted[7] ? total[5].slice(0) : null
        };
    }
}
