// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.AttentionGeometry;
import dev.halftone.tensor.kernels.AttentionGrids;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.Kernels;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What {@link AttentionBranchOp} computes with bits, but its linear layers run on packed codes: operands {@code x [N, H, W, C]}, weight
 * and bias of the {@link LayerNormOp}, and those of {@link WindowAttentionOp} after the first, the bias table and bounds {@code [4, 2]} unless it has levels.
 * It has no gradient.
 *
 * @param projections one packed layer to queries, keys and values, or one for each
 * @param output the packed layer after the attention
 */
public record PackedAttentionBranchOp(
        float epsilon, WindowAttentionOp attention, List<QuantizedConv2dOp> projections, QuantizedConv2dOp output)
        implements Op {
    private static final int BLOCK = 8;

    /** Copies the list. */
    public PackedAttentionBranchOp {
        projections = List.copyOf(projections);
    }

    private static boolean hasBounds(int operands) {
        return operands > 4;
    }

    @Override
    public Shape outputShape(Shape... inputs) {
        Shape x = new LayerNormOp(epsilon).outputShape(inputs[0], inputs[1], inputs[2]);
        int outputs = 0;
        for (QuantizedConv2dOp projection : projections) {
            outputs += PackedRows.outputShape(projection, x).dim(-1);
        }
        Shape qkv = x.with(-1, outputs);
        Shape attended = hasBounds(inputs.length)
                ? attention.outputShape(qkv, inputs[3], inputs[4])
                : attention.outputShape(qkv, inputs[3]);
        Shape y = PackedRows.outputShape(output, attended);
        if (!y.equals(x)) {
            throw new IllegalArgumentException("attention branch: " + y + " cannot be added to " + x);
        }
        return x;
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        AttentionGeometry g = attention.geometry(inputs[0].shape().with(-1, 3 * inputs[0].dim(-1)));
        AttentionGeometry one = new AttentionGeometry(1, g.window(), g.window(), g.heads(), g.depth(), g.window(), 0);
        float[][] biases = WindowAttentionOp.biases(g, inputs[3]);
        AttentionGrids grids = attention.grids(hasBounds(inputs.length) ? inputs[4] : null);
        Kernels kernels = KernelProvider.kernels();
        int n = g.pixels();
        int channels = g.channels();
        compute.forEachRange(g.windows(), BLOCK, (from, to) -> {
            WindowRows rows = new WindowRows(g);
            PackedRows[] parts =
                    projections.stream().map(p -> new PackedRows(p, n)).toArray(PackedRows[]::new);
            PackedRows last = new PackedRows(output(), n);
            int size = Math.max(8 * n * channels, kernels.attention().scratch(one));
            float[] scratch = compute.borrow(size);
            float[] attentionScratch = compute.borrow(size);
            Tensor x = Tensor.wrap(scratch, 0, Shape.of(n, channels));
            Tensor normal = Tensor.wrap(scratch, n * channels, Shape.of(n, channels));
            Tensor y = Tensor.wrap(scratch, 2 * n * channels, Shape.of(n, channels));
            Tensor turned = Tensor.wrap(scratch, 7 * n * channels, Shape.of(channels, n));
            Tensor qkv = Tensor.wrap(scratch, 3 * n * channels, Shape.of(n, 3 * channels));
            for (int window = from; window < to; window++) {
                rows.at(window);
                rows.gather(inputs[0], x);
                kernels.norm().layerNorm(x, inputs[1], inputs[2], epsilon, normal, 0, n);
                PackedRows.turn(normal, turned);
                if (parts.length == 1) {
                    parts[0].run(turned, qkv);
                } else {
                    int column = 0;
                    for (PackedRows part : parts) {
                        Tensor out = Tensor.wrap(scratch, 6 * n * channels, Shape.of(n, part.outChannels()));
                        part.run(turned, out);
                        WindowRows.toColumns(out, qkv, column);
                        column += part.outChannels();
                    }
                }
                float[][] bias = {biases[g.kind(window)]};
                kernels.attention().forward(one, qkv, bias, grids, normal, attentionScratch, 0, 1);
                PackedRows.turn(normal, turned);
                last.run(turned, y);
                kernels.pointwise().add(x, y, y, 0, y.size());
                rows.scatter(y, output);
            }
            compute.giveBack(scratch);
            compute.giveBack(attentionScratch);
        });
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        throw new IllegalStateException("a branch on packed codes has no gradient");
    }
}
