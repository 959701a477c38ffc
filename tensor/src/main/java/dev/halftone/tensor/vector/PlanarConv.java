// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.ConvGeometry;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Convolution to fewer output channels than lanes (the last layer of every network has 3), with lanes over the pixels of a row.
 *
 * <p>Each input row of a block of columns is transposed once to planes, {@code [inChannels, pixels]}, and kept while output rows need
 * it. Every tap is then one product of the tap's weights (4 output channels to a tile) and shifted planes, accumulated in memory.
 * Planes are 0 where a tap reads padding; the interface wants such taps skipped, which differs where a weight is not finite or the
 * sum is -0, so those few sums are put back after the tap. 64 to 3 channels at 256x256: 38 GFLOP/s, 13 with lanes over output
 * channels.
 */
final class PlanarConv {
    /** Output channels are computed in whole tiles. */
    private static final int CHANNELS = 4;

    /** Columns of a block: the planes of three rows of 64 channels take 200 KB of the second-level cache. */
    private static final int BLOCK = 256;

    private final ConvGeometry g;
    private final Tensor x;
    private final @Nullable Tensor bias;

    /** Output channels, rounded up. */
    private final int channels;
    /** Output pixels of a block, rounded up to whole vectors. */
    private final int width;
    /** Pixels of a plane: pixel i is input pixel {@code first + i - padding}. */
    private final int plane;
    /** The block: its first column and the end of its columns. */
    private int first;

    private int end;

    private final float[] planes;
    /** For each kernel row's slot of planes, the input row that it holds. */
    private final int[] held;

    private final float[] sums;
    private final float[] kept;
    private final Panels panels;

    PlanarConv(ConvGeometry g, Tensor x, Tensor weight, @Nullable Tensor bias) {
        this.g = g;
        this.x = x;
        this.bias = bias;
        channels = Math.ceilDiv(g.outChannels(), CHANNELS) * CHANNELS;
        width = Math.ceilDiv(Math.min(BLOCK, g.outWidth()), Panels.LANES) * Panels.LANES;
        plane = width + g.kernel() - 1;
        planes = new float[g.kernel() * g.inChannels() * plane];
        held = new int[g.kernel()];
        sums = new float[channels * width];
        kept = new float[sums.length];
        float[] wide = new float[g.weightRows() * channels];
        for (int r = 0; r < g.weightRows(); r++) {
            System.arraycopy(
                    weight.array(), weight.offset() + r * g.outChannels(), wide, r * channels, g.outChannels());
        }
        panels = new Panels(wide, planes, sums, sums);
        panels.xStep = 1;
        panels.xInner = channels;
        panels.wStep = plane;
        panels.yStep = width;
        panels.initStep = width;
        panels.rows = 1;
        panels.run = g.inChannels();
    }

    void forward(boolean relu, Tensor y, int fromRow, int toRow) {
        for (first = 0; first < g.outWidth(); first = end) {
            end = Math.min(first + BLOCK, g.outWidth());
            Arrays.fill(held, -1);
            block(relu, y, fromRow, toRow);
        }
    }

    private void block(boolean relu, Tensor y, int fromRow, int toRow) {
        for (int row = fromRow; row < toRow; row++) {
            for (int co = 0; bias != null && co < g.outChannels(); co++) {
                Arrays.fill(sums, co * width, (co + 1) * width, bias.array()[bias.offset() + co]);
            }
            if (bias == null) {
                Arrays.fill(sums, 0f);
            }
            int top = row % g.outHeight() - g.top();
            for (int ky = Math.max(0, -top); ky < Math.min(g.kernel(), g.height() - top); ky++) {
                int slot = load(row / g.outHeight() * g.height() + top + ky);
                for (int kx = 0; kx < g.kernel(); kx++) {
                    tap(ky * g.kernel() + kx, slot + kx, g.padding() - kx - first);
                }
            }
            store(relu, y, y.offset() + (row * g.outWidth() + first) * g.outChannels());
        }
    }

    /** Returns where the planes of an input row start. */
    private int load(int row) {
        int slot = row % g.kernel();
        int at = slot * g.inChannels() * plane;
        if (held[slot] != row) {
            held[slot] = row;
            int from = x.offset() + row * g.width() * g.inChannels();
            int left = first - g.padding();
            int inside = Math.clamp(-left, 0, plane);
            int outside = Math.clamp(g.width() - left, inside, plane);
            for (int ci = 0; ci < g.inChannels(); ci++) {
                Arrays.fill(planes, at + ci * plane, at + ci * plane + inside, 0f);
                Arrays.fill(planes, at + ci * plane + outside, at + (ci + 1) * plane, 0f);
            }
            for (int i = inside; i < outside; i++) {
                for (int ci = 0; ci < g.inChannels(); ci++) {
                    planes[at + ci * plane + i] = x.array()[from + (left + i) * g.inChannels() + ci];
                }
            }
        }
        return at;
    }

    /** Adds one tap; it reads padding for the block's pixels before {@code inside} and from {@code inside + g.width()} on. */
    private void tap(int tap, int at, int inside) {
        int left = Math.clamp(inside, 0, end - first);
        int right = Math.clamp(inside + g.width(), left, end - first);
        copyBorder(sums, kept, left, right);
        panels.run(channels, width, tap * g.inChannels() * channels, at, 0, 0);
        copyBorder(kept, sums, left, right);
    }

    private void copyBorder(float[] from, float[] to, int left, int right) {
        for (int co = 0; co < g.outChannels(); co++) {
            for (int ox = 0; ox < left; ox++) {
                to[co * width + ox] = from[co * width + ox];
            }
            for (int ox = right; ox < end - first; ox++) {
                to[co * width + ox] = from[co * width + ox];
            }
        }
    }

    private void store(boolean relu, Tensor y, int at) {
        for (int co = 0; co < g.outChannels(); co++) {
            for (int ox = 0; ox < end - first; ox++) {
                float v = sums[co * width + ox];
                y.array()[at + ox * g.outChannels() + co] = relu ? Math.max(v, 0f) : v;
            }
        }
    }
}
