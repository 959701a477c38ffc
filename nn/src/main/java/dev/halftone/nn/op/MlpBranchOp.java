// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.Kernels;
import org.jspecify.annotations.Nullable;

/**
 * The second branch of a transformer block as one op, {@code y = x + fc2(gelu(fc1(norm(x))))}: what happens to some rows stays in the
 * cache, and backward computes it again instead of keeping it. Operands {@code x [..., C]}, weight and bias of the
 * {@link LayerNormOp}, of the first {@link LinearOp} (to H channels) and of the second one.
 */
public record MlpBranchOp(float epsilon) implements Op {
    /** Rows at a time: 64 rows of 60 and 120 channels and the weights are 180 KiB. */
    private static final int ROWS = 64;

    /** Groups of rows whose weight gradients are summed as one. */
    private static final int BLOCK = 8;

    @Override
    public Shape outputShape(Shape... inputs) {
        Shape x = new LayerNormOp(epsilon).outputShape(inputs[0], inputs[1], inputs[2]);
        Shape hidden = new LinearOp().outputShape(x, inputs[3], inputs[4]);
        Shape y = new LinearOp().outputShape(hidden, inputs[5], inputs[6]);
        if (!y.equals(x)) {
            throw new IllegalArgumentException("mlp branch: " + y + " cannot be added to " + x);
        }
        return x;
    }

    @Override
    public Reach reach(Shape... inputs) {
        return Reach.ROW;
    }

    @Override
    public boolean elementwise() {
        return false;
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        Kernels kernels = KernelProvider.kernels();
        int channels = inputs[1].size();
        int hidden = inputs[4].size();
        int rows = inputs[0].size() / channels;
        compute.forEachRange(rows, ROWS, (from, to) -> {
            int n = to - from;
            float[] scratch = compute.borrow(ROWS * (channels + hidden));
            Tensor x = rows(inputs[0], from, n, channels);
            Tensor y = rows(output, from, n, channels);
            Tensor normal = Tensor.wrap(scratch, 0, Shape.of(n, channels));
            Tensor h = Tensor.wrap(scratch, ROWS * channels, Shape.of(n, hidden));
            kernels.norm().layerNorm(x, inputs[1], inputs[2], epsilon, normal, 0, n);
            kernels.matmul().matmul(normal, inputs[3], inputs[4], h, 0, n);
            kernels.norm().gelu(h, h, 0, h.size());
            kernels.matmul().matmul(h, inputs[5], inputs[6], normal, 0, n);
            kernels.pointwise().add(x, normal, y, 0, y.size());
            compute.giveBack(scratch);
        });
    }

    private static Tensor rows(Tensor t, int from, int count, int channels) {
        return Tensor.wrap(t.array(), t.offset() + from * channels, Shape.of(count, channels));
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        Kernels kernels = KernelProvider.kernels();
        int channels = inputs[1].size();
        int hidden = inputs[4].size();
        int rows = inputs[0].size() / channels;
        Tensor firstTransposed = inputs[3].permute(1, 0);
        Tensor secondTransposed = inputs[5].permute(1, 0);
        Tensor ones = Tensor.zeros(ROWS, 1).fill(1);
        Tensor dx = Tensor.zeros(inputs[0].shape());
        PartialGradients sums = new PartialGradients(
                Math.ceilDiv(rows, ROWS),
                BLOCK,
                Shape.of(2, channels),
                inputs[3].shape(),
                Shape.of(1, hidden),
                inputs[5].shape(),
                Shape.of(1, channels));
        compute.forEachRange(rows, ROWS * sums.unitsPerBlock(), (first, end) -> {
            float[] scratch = compute.borrow(ROWS * (2 * channels + 3 * hidden));
            for (int from = first; from < end; from += ROWS) {
                int n = Math.min(ROWS, end - from);
                int unit = from / ROWS;
                Tensor x = rows(inputs[0], from, n, channels);
                Tensor dy = rows(gradient, from, n, channels);
                Tensor normal = Tensor.wrap(scratch, 0, Shape.of(n, channels));
                Tensor dNormal = Tensor.wrap(scratch, ROWS * channels, Shape.of(n, channels));
                Tensor h = Tensor.wrap(scratch, 2 * ROWS * channels, Shape.of(n, hidden));
                Tensor g = Tensor.wrap(scratch, ROWS * (2 * channels + hidden), Shape.of(n, hidden));
                Tensor d = Tensor.wrap(scratch, ROWS * (2 * channels + 2 * hidden), Shape.of(n, hidden));
                Tensor one = Tensor.wrap(ones.array(), 0, Shape.of(n, 1));
                kernels.norm().layerNorm(x, inputs[1], inputs[2], epsilon, normal, 0, n);
                kernels.matmul().matmul(normal, inputs[3], inputs[4], h, 0, n);
                kernels.norm().gelu(h, g, 0, h.size());
                kernels.matmul().addTransposedA(g, dy, sums.of(unit, 3), 0, hidden);
                kernels.matmul().addTransposedA(one, dy, sums.of(unit, 4), 0, 1);
                kernels.matmul().matmul(dy, secondTransposed, null, d, 0, n);
                kernels.norm().geluGradient(h, d, d, 0, d.size());
                kernels.matmul().addTransposedA(normal, d, sums.of(unit, 1), 0, channels);
                kernels.matmul().addTransposedA(one, d, sums.of(unit, 2), 0, 1);
                kernels.matmul().matmul(d, firstTransposed, null, dNormal, 0, n);
                Tensor dxRows = rows(dx, from, n, channels);
                kernels.norm().layerNormGradient(x, inputs[1], epsilon, dNormal, dxRows, sums.of(unit, 0), 0, n);
                kernels.pointwise().add(dxRows, dy, dxRows, 0, dxRows.size());
            }
            compute.giveBack(scratch);
        });
        Tensor[] total = sums.total(compute);
        return new @Nullable Tensor[] {
            wanted[0] ? dx : null,
            wanted[1] ? total[0].slice(0) : null,
            wanted[2] ? total[0].slice(1) : null,
            wanted[3] ? total[1] : null,
            wanted[4] ? total[2].slice(0) : null,
            wanted[5] ? total[3] : null,
            wanted[6] ? total[4].slice(0) : null
        };
    }
}
