// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.Kernels;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The second branch of a transformer block as one op, {@code y = x + fc2(gelu(fc1(norm(x))))}: what happens to some rows stays in the
 * cache, and backward computes it again instead of keeping it. Operands {@code x [..., C]}, weight and bias of the
 * {@link LayerNormOp}, of the first {@link LinearOp} (to H channels) and of the second one.
 *
 * <p>With bits, the inputs of the linear layers are quantized and dequantized as {@link FakeQuantizeOp} does, and one more operand {@code
 * [2, 2]} has their bounds.
 *
 * @param bits of the inputs of the linear layers; empty where they are not quantized
 */
public record MlpBranchOp(float epsilon, List<Integer> bits) implements Op {
    /** Rows at a time: 64 rows of 60 and 120 channels and the weights are 180 KiB. */
    private static final int ROWS = 64;

    /** Groups of rows whose weight gradients are summed as one. */
    private static final int BLOCK = 8;

    /** Copies the list. */
    public MlpBranchOp {
        bits = List.copyOf(bits);
        if (!bits.isEmpty() && bits.size() != 2) {
            throw new IllegalArgumentException("mlp branch has 2 linear layers, not bits for " + bits.size());
        }
    }

    /** Creates the branch in fp32. */
    public MlpBranchOp(float epsilon) {
        this(epsilon, List.of());
    }

    @Override
    public Shape outputShape(Shape... inputs) {
        Shape x = new LayerNormOp(epsilon).outputShape(inputs[0], inputs[1], inputs[2]);
        Shape hidden = new LinearOp().outputShape(x, inputs[3], inputs[4]);
        Shape y = new LinearOp().outputShape(hidden, inputs[5], inputs[6]);
        if (!y.equals(x)) {
            throw new IllegalArgumentException("mlp branch: " + y + " cannot be added to " + x);
        }
        if (!bits.isEmpty()) {
            Bounds.require("mlp branch", bits, inputs[7]);
        }
        return x;
    }

    private UniformGrid[] grids(Tensor[] inputs) {
        return bits.isEmpty() ? new UniformGrid[0] : Bounds.grids(bits, inputs[7]);
    }

    /** Replaces values by levels where they are quantized. */
    private static Tensor operand(Kernels kernels, Tensor x, UniformGrid[] grids, int grid, Tensor levels) {
        if (grids.length == 0) {
            return x;
        }
        kernels.pointwise().fakeQuantize(x, grids[grid], levels, 0, x.size());
        return levels;
    }

    /** Turns the gradient of what {@link #operand} gave into that of the input. */
    private static void straightThrough(
            Kernels kernels, Tensor x, UniformGrid[] grids, int grid, Tensor gradient, Tensor dBounds) {
        if (grids.length > 0) {
            kernels.pointwise()
                    .fakeQuantizeGradient(x, grids[grid], gradient, gradient, 0, x.size())
                    .addTo(dBounds, grid, grids[grid]);
        }
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
        UniformGrid[] grids = grids(inputs);
        compute.forEachRange(rows, ROWS, (from, to) -> {
            int n = to - from;
            float[] scratch = compute.borrow(ROWS * (channels + hidden));
            Tensor x = rows(inputs[0], from, n, channels);
            Tensor y = rows(output, from, n, channels);
            Tensor normal = Tensor.wrap(scratch, 0, Shape.of(n, channels));
            Tensor h = Tensor.wrap(scratch, ROWS * channels, Shape.of(n, hidden));
            kernels.norm().layerNorm(x, inputs[1], inputs[2], epsilon, normal, 0, n);
            kernels.matmul().matmul(operand(kernels, normal, grids, 0, normal), inputs[3], inputs[4], h, 0, n);
            kernels.norm().gelu(h, h, 0, h.size());
            kernels.matmul().matmul(operand(kernels, h, grids, 1, h), inputs[5], inputs[6], normal, 0, n);
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
        UniformGrid[] grids = grids(inputs);
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
                Shape.of(1, channels),
                Shape.of(2, 2));
        compute.forEachRange(rows, ROWS * sums.unitsPerBlock(), (first, end) -> {
            float[] scratch = compute.borrow(ROWS * (3 * channels + 4 * hidden));
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
                Tensor levels = Tensor.wrap(scratch, ROWS * (2 * channels + 3 * hidden), Shape.of(n, channels));
                Tensor hLevels = Tensor.wrap(scratch, ROWS * (3 * channels + 3 * hidden), Shape.of(n, hidden));
                Tensor one = Tensor.wrap(ones.array(), 0, Shape.of(n, 1));
                kernels.norm().layerNorm(x, inputs[1], inputs[2], epsilon, normal, 0, n);
                Tensor operand = operand(kernels, normal, grids, 0, levels);
                kernels.matmul().matmul(operand, inputs[3], inputs[4], h, 0, n);
                kernels.norm().gelu(h, g, 0, h.size());
                kernels.matmul()
                        .addTransposedA(operand(kernels, g, grids, 1, hLevels), dy, sums.of(unit, 3), 0, hidden);
                kernels.matmul().addTransposedA(one, dy, sums.of(unit, 4), 0, 1);
                kernels.matmul().matmul(dy, secondTransposed, null, d, 0, n);
                straightThrough(kernels, g, grids, 1, d, sums.of(unit, 5));
                kernels.norm().geluGradient(h, d, d, 0, d.size());
                kernels.matmul().addTransposedA(operand, d, sums.of(unit, 1), 0, channels);
                kernels.matmul().addTransposedA(one, d, sums.of(unit, 2), 0, 1);
                kernels.matmul().matmul(d, firstTransposed, null, dNormal, 0, n);
                straightThrough(kernels, normal, grids, 0, dNormal, sums.of(unit, 5));
                Tensor dxRows = rows(dx, from, n, channels);
                kernels.norm().layerNormGradient(x, inputs[1], epsilon, dNormal, dxRows, sums.of(unit, 0), 0, n);
                kernels.pointwise().add(dxRows, dy, dxRows, 0, dxRows.size());
            }
            compute.giveBack(scratch);
        });
        Tensor[] total = sums.total(compute);
        @Nullable Tensor[] result = new @Nullable Tensor[inputs.length];
        result[0] = wanted[0] ? dx : null;
        result[1] = wanted[1] ? total[0].slice(0) : null;
        result[2] = wanted[2] ? total[0].slice(1) : null;
        result[3] = wanted[3] ? total[1] : null;
        result[4] = wanted[4] ? total[2].slice(0) : null;
        result[5] = wanted[5] ? total[3] : null;
        result[6] = wanted[6] ? total[4].slice(0) : null;
        if (grids.length > 0) {
            result[7] = wanted[7] ? total[5] : null;
        }
        return result;
    }
}
