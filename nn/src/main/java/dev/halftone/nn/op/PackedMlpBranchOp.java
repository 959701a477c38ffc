// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.Kernels;
import dev.halftone.tensor.kernels.PackedConv;
import org.jspecify.annotations.Nullable;

/**
 * What {@link MlpBranchOp} computes with bits, but its linear layers run on packed codes: operands {@code x [..., C]}, weight and bias of
 * the {@link LayerNormOp}. It has no gradient.
 *
 * @param first the packed layer before the GELU
 * @param second the packed layer after it
 */
public record PackedMlpBranchOp(float epsilon, QuantizedConv2dOp first, QuantizedConv2dOp second) implements Op {
    /** Rows at a time, as {@link MlpBranchOp}. */
    private static final int ROWS = 64;

    /** Groups of rows for which memory is taken once. */
    private static final int BLOCK = 16;

    @Override
    public Shape outputShape(Shape... inputs) {
        Shape x = new LayerNormOp(epsilon).outputShape(inputs[0], inputs[1], inputs[2]);
        Shape y = PackedRows.outputShape(second, PackedRows.outputShape(first, x));
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
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        Kernels kernels = KernelProvider.kernels();
        int channels = inputs[1].size();
        int hidden = first.outChannels();
        int rows = inputs[0].size() / channels;
        // Codes of few bits say little of a GELU: comparisons of what comes before it give them too.
        PackedConv fused = second.conv().beforeGelu();
        QuantizedConv2dOp last =
                fused == null ? second : new QuantizedConv2dOp(fused, second.inChannels(), second.outChannels());
        compute.forEachRange(rows, BLOCK * ROWS, (begin, end) -> {
            float[] scratch = compute.borrow(2 * ROWS * (channels + hidden));
            PackedRows one = new PackedRows(first, ROWS);
            PackedRows two = new PackedRows(last, ROWS);
            for (int from = begin; from < end; from += ROWS) {
                int n = Math.min(ROWS, end - from);
                Tensor x = rows(inputs[0], from, n, channels);
                Tensor y = rows(output, from, n, channels);
                Tensor normal = Tensor.wrap(scratch, 0, Shape.of(n, channels));
                Tensor h = Tensor.wrap(scratch, ROWS * channels, Shape.of(n, hidden));
                Tensor turned = Tensor.wrap(scratch, ROWS * (channels + hidden), Shape.of(channels, n));
                Tensor hTurned = Tensor.wrap(scratch, ROWS * (2 * channels + hidden), Shape.of(hidden, n));
                kernels.norm().layerNorm(x, inputs[1], inputs[2], epsilon, normal, 0, n);
                PackedRows.turn(normal, turned);
                one.run(turned, h);
                if (fused == null) {
                    kernels.norm().gelu(h, h, 0, h.size());
                }
                PackedRows.turn(h, hTurned);
                two.run(hTurned, normal);
                kernels.pointwise().add(x, normal, y, 0, y.size());
            }
            compute.giveBack(scratch);
        });
    }

    private static Tensor rows(Tensor t, int from, int count, int channels) {
        return Tensor.wrap(t.array(), t.offset() + from * channels, Shape.of(count, channels));
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        throw new IllegalStateException("a branch on packed codes has no gradient");
    }
}
