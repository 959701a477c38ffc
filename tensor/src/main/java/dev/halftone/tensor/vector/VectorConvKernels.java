// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.ConvGeometry;
import dev.halftone.tensor.kernels.ConvKernels;
import dev.halftone.tensor.kernels.ScalarKernels;
import dev.halftone.tensor.kernels.WinogradWeight;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Convolution as an implicit matrix product: in channels-last data the {@code kernel * inChannels} inputs that one kernel row reads
 * are contiguous, and so are their weights, so a kernel row is one long run of the micro-kernel and nothing is copied.
 */
final class VectorConvKernels implements ConvKernels {
    /** Grouped convolutions have short runs and are rare; the scalar loops give the same bits. */
    private final ConvKernels grouped = new ScalarKernels().conv();

    @Override
    public void forward(
            ConvGeometry g,
            Tensor x,
            Tensor weight,
            @Nullable Tensor bias,
            boolean relu,
            Tensor y,
            int fromRow,
            int toRow) {
        if (g.groups() > 1) {
            grouped.forward(g, x, weight, bias, relu, y, fromRow, toRow);
            return;
        }
        g.checkForward(x, weight, bias, y, fromRow, toRow);
        if (g.outChannels() < Panels.LANES) {
            new PlanarConv(g, x, weight, bias).forward(relu, y, fromRow, toRow);
            return;
        }
        int cin = g.inChannels();
        int cout = g.outChannels();
        int kernel = g.kernel();
        Panels panels = new Panels(x.array(), weight.array(), y.array(), bias == null ? new float[cout] : bias.array());
        int initAt = bias == null ? 0 : bias.offset();
        panels.xInner = 1;
        panels.xRow = g.width() * cin;
        panels.wStep = cout;
        panels.wRow = kernel * cin * cout;
        panels.relu = relu;
        int left = Math.clamp(g.padding(), 0, g.outWidth());
        int right = Math.clamp(g.width() - kernel + g.padding() + 1, left, g.outWidth());
        int bottom = Math.clamp(g.height() - kernel + g.top() + 1, 0, g.outHeight());
        for (int row = fromRow, end; row < toRow; row = end) {
            int oy = row % g.outHeight();
            int top = oy - g.top();
            int ky = Math.max(0, -top);
            panels.rows = Math.max(0, Math.min(kernel, g.height() - top) - ky);
            // Rows up to "end" use the same kernel rows, so the border columns can be computed several rows at a time.
            end = panels.rows < kernel ? row + 1 : Math.min(toRow, row - oy + bottom);
            int xAt = x.offset() + ((row / g.outHeight()) * g.height() + top + ky) * g.width() * cin;
            int wAt = weight.offset() + ky * panels.wRow;
            int yAt = y.offset() + row * g.outWidth() * cout;
            panels.xStep = g.width() * cin;
            panels.yStep = g.outWidth() * cout;
            for (int i = 0; i < g.outWidth() - (right - left); i++) {
                int ox = i < left ? i : i + right - left;
                int ix = ox - g.padding();
                int kx = Math.max(0, -ix);
                panels.run = Math.max(0, Math.min(kernel, g.width() - ix) - kx) * cin;
                panels.run(end - row, cout, xAt + (ix + kx) * cin, wAt + kx * cin * cout, initAt, yAt + ox * cout);
            }
            panels.xStep = cin;
            panels.yStep = cout;
            panels.run = kernel * cin;
            for (int r = row; r < end; r++) {
                panels.run(right - left, cout, xAt + (left - g.padding()) * cin, wAt, initAt, yAt + left * cout);
                xAt += g.width() * cin;
                yAt += g.outWidth() * cout;
            }
        }
    }

    @Override
    public void winograd(
            ConvGeometry g,
            WinogradWeight weight,
            Tensor x,
            boolean relu,
            Tensor y,
            float[] scratch,
            int from,
            int to) {
        weight.check(g, x, y, from, to);
        new VectorWinograd(g, weight, x, relu, y, scratch).forward(from, to);
    }

    @Override
    public int winogradScratch(WinogradWeight weight) {
        return VectorWinograd.scratch(weight);
    }

    @Override
    public void weightGradient(ConvGeometry g, Tensor x, Tensor dy, Tensor dw, int fromRow, int toRow) {
        if (g.groups() > 1) {
            grouped.weightGradient(g, x, dy, dw, fromRow, toRow);
            return;
        }
        g.checkWeightGradient(x, dy, dw, fromRow, toRow);
        int cin = g.inChannels();
        int cout = g.outChannels();
        if (cout < Panels.LANES && cin >= Panels.LANES) {
            transposedWeightGradient(g, x, dy, dw, fromRow, toRow);
            return;
        }
        Arrays.fill(dw.array(), dw.offset() + fromRow * cout, dw.offset() + toRow * cout, 0f);
        Panels panels = new Panels(x.array(), dy.array(), dw.array(), new float[cout]);
        panels.xStep = 1;
        panels.xInner = cin;
        panels.xRow = g.width() * cin;
        panels.wStep = cout;
        panels.wRow = g.outWidth() * cout;
        panels.yStep = cout;
        panels.add = true;
        forEachSum(g, fromRow, toRow, (tap, ci, count, rows, run, input, output) -> {
            panels.rows = rows;
            panels.run = run;
            panels.run(
                    count,
                    cout,
                    x.offset() + input * cin + ci,
                    dy.offset() + output * cout,
                    0,
                    dw.offset() + (tap * cin + ci) * cout);
        });
    }

    /** Few output channels leave lanes empty, so the lanes run over input channels. */
    private static void transposedWeightGradient(
            ConvGeometry g, Tensor x, Tensor dy, Tensor dw, int fromRow, int toRow) {
        int cin = g.inChannels();
        int cout = g.outChannels();
        float[] sums = new float[dw.size()];
        Panels panels = new Panels(dy.array(), x.array(), sums, new float[cin]);
        panels.xStep = 1;
        panels.xInner = cout;
        panels.xRow = g.outWidth() * cout;
        panels.wStep = cin;
        panels.wRow = g.width() * cin;
        panels.yStep = cin;
        panels.add = true;
        forEachSum(g, fromRow, toRow, (tap, ci, count, rows, run, input, output) -> {
            // At least one vector of channels; those outside the range are computed, but not stored.
            int from = Math.min(ci, cin - Panels.LANES);
            int columns = Math.max(ci + count - from, Panels.LANES);
            panels.rows = rows;
            panels.run = run;
            panels.run(
                    cout,
                    columns,
                    dy.offset() + output * cout,
                    x.offset() + input * cin + from,
                    0,
                    tap * cout * cin + from);
        });
        for (int r = fromRow; r < toRow; r++) {
            for (int co = 0; co < cout; co++) {
                dw.array()[dw.offset() + r * cout + co] = sums[(r / cin * cout + co) * cin + r % cin];
            }
        }
    }

    /** The sum over {@code rows} by {@code run} pixels, from pixel {@code input} of x and {@code output} of dy on. */
    @FunctionalInterface
    private interface PartialSum {
        void add(int tap, int ci, int count, int rows, int run, int input, int output);
    }

    /** Blocks of image rows outermost: these rows of x and dy stay in the cache while all taps and channels use them. */
    private static void forEachSum(ConvGeometry g, int fromRow, int toRow, PartialSum sum) {
        int cin = g.inChannels();
        for (int block = 0; block < g.rows(); block = g.sumEnd(block)) {
            int n = block / g.outHeight();
            int blockTo = g.sumEnd(block) - n * g.outHeight();
            for (int r = fromRow, count; r < toRow; r += count) {
                int tap = r / cin;
                count = Math.min(cin - r % cin, toRow - r);
                int dy = tap / g.kernel() - g.top();
                int dx = tap % g.kernel() - g.padding();
                int oy = Math.max(block - n * g.outHeight(), -dy);
                int ox = Math.max(0, -dx);
                int rows = Math.min(blockTo, g.height() - dy) - oy;
                int run = Math.min(g.outWidth(), g.width() - dx) - ox;
                if (rows > 0 && run > 0) {
                    int input = (n * g.height() + oy + dy) * g.width() + ox + dx;
                    int output = (n * g.outHeight() + oy) * g.outWidth() + ox;
                    sum.add(tap, r % cin, count, rows, run, input, output);
                }
            }
        }
    }
}
