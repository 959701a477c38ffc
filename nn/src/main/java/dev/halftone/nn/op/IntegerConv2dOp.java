// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.IntegerConv;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Convolutions one after the other in integers alone, see {@link IntegerConv}: {@code x [N, H, W, Cin]} is quantized, codes go from one to
 * the next, and the last gives {@code [N, H, W, Cout]} in fp32. If that one has codes for an output, which happens only where it was not fused
 * with what follows, it gives their levels, so that plans, which fuse, and all else compute the same bits. It has no gradient.
 *
 * @param links the convolutions in order; all but the last have the output grid that is the input grid of the next
 */
public record IntegerConv2dOp(List<Link> links) implements Op {
    /**
     * One of them.
     *
     * @param relu whether a ReLU follows, on codes
     */
    public record Link(IntegerConv conv, boolean relu) {}

    /** Copies the list. */
    public IntegerConv2dOp {
        links = List.copyOf(links);
    }

    /** Creates the op of one convolution. */
    public IntegerConv2dOp(IntegerConv conv) {
        this(List.of(new Link(conv, false)));
    }

    private IntegerConv first() {
        return links.getFirst().conv();
    }

    private Link last() {
        return links.getLast();
    }

    private int radius() {
        return links.stream().mapToInt(link -> link.conv().kernel() / 2).sum();
    }

    @Override
    public Shape outputShape(Shape... inputs) {
        if (inputs[0].rank() != 4 || inputs[0].dim(3) != first().inChannels()) {
            throw new IllegalArgumentException(
                    "integer conv2d: input " + inputs[0] + " (N, H, W, C) needs " + first().inChannels() + " channels");
        }
        return inputs[0].with(3, last().conv().outChannels());
    }

    @Override
    public Reach reach(Shape... inputs) {
        return Reach.of(radius());
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        forward(compute, inputs, output, radius(), radius());
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output, int top, int bottom) {
        Tensor x = inputs[0];
        int image = x.dim(1) * x.dim(2) * x.dim(3);
        int result = output.dim(1) * output.dim(2) * output.dim(3);
        for (int n = 0; n < x.dim(0); n++) {
            short[] codes = new short[image];
            int from = x.offset() + n * image;
            Ranges.forEach(compute, image, (a, b) -> first().quantize(x.array(), from + a, codes, a, b - a));
            forward(compute, codes, x.dim(1), x.dim(2), output, output.offset() + n * result, top, bottom);
        }
    }

    private void forward(
            Compute compute, short[] image, int imageHeight, int width, Tensor output, int at, int top, int bottom) {
        short[] codes = image;
        int height = imageHeight;
        int above = top;
        int below = bottom;
        for (int l = 0; l < links.size(); l++) {
            Link link = links.get(l);
            IntegerConv conv = link.conv();
            int padding = conv.kernel() / 2;
            // What the next convolutions would read beyond the map; the rest of it is this one's.
            int nextAbove = Math.max(0, above - padding);
            int nextBelow = Math.max(0, below - padding);
            int outside = above - nextAbove;
            int rows = height + outside + below - nextBelow - 2 * padding;
            boolean last = l == links.size() - 1;
            int row = width * conv.outChannels();
            short[] from = codes;
            short[] to = new short[last ? 0 : rows * row];
            int fromRows = height;
            compute.forEachRange(rows, (first, end) -> {
                int[] sums = new int[row];
                for (int i = first; i < end; i++) {
                    conv.sums(from, 0, fromRows, width, i + padding - outside, sums);
                    if (last) {
                        finish(link, sums, output.array(), at + i * row);
                    } else {
                        conv.requantize(sums, link.relu(), to, i * row);
                    }
                }
            });
            codes = to;
            height = rows;
            above = nextAbove;
            below = nextBelow;
        }
    }

    private static void finish(Link link, int[] sums, float[] y, int at) {
        IntegerConv conv = link.conv();
        if (conv.output() == null) {
            conv.dequantize(sums, y, at);
            return;
        }
        short[] codes = new short[sums.length];
        conv.requantize(sums, link.relu(), codes, 0);
        for (int i = 0; i < codes.length; i++) {
            y[at + i] = conv.level(codes[i]);
        }
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        throw new IllegalStateException("a convolution in integers has no gradient");
    }

    @Override
    public @Nullable Op fuse(Op next, int operand) {
        Link last = last();
        if (last.conv().output() == null) {
            return null;
        }
        List<Link> more = new ArrayList<>(links);
        switch (next) {
            case LeakyReluOp(float slope)
            when slope == 0 && !last.relu() -> more.set(more.size() - 1, new Link(last.conv(), true));
            case IntegerConv2dOp other
            when other.first().input().equals(last.conv().output()) -> more.addAll(other.links);
            default -> {
                return null;
            }
        }
        return new IntegerConv2dOp(more);
    }
}
