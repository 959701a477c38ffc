// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.ConvGeometry;
import dev.halftone.tensor.kernels.ConvKernels;
import dev.halftone.tensor.kernels.ScalarKernels;
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
        int cin = g.inChannels();
        int cout = g.outChannels();
        int kernel = g.kernel();
        Panels panels = new Panels(x.array(), weight.array(), y.array(), bias == null ? new float[cout] : bias.array());
        int initAt = bias == null ? 0 : bias.offset();
        panels.xStep = cin;
        panels.xInner = 1;
        panels.xRow = g.width() * cin;
        panels.wStep = cout;
        panels.wRow = kernel * cin * cout;
        panels.yStep = cout;
        panels.finish = relu ? Panels.Finish.RELU : Panels.Finish.STORE;
        int innerFrom = Math.min(Math.max(0, g.padding()), g.outWidth());
        int innerTo = Math.max(innerFrom, Math.min(g.outWidth(), g.width() - kernel + g.padding() + 1));
        for (int row = fromRow; row < toRow; row++) {
            int top = row % g.outHeight() - g.padding();
            int ky = Math.max(0, -top);
            panels.rows = Math.min(kernel, g.height() - top) - ky;
            int xRowAt = x.offset() + ((row / g.outHeight()) * g.height() + top + ky) * g.width() * cin;
            int wRowAt = weight.offset() + ky * panels.wRow;
            int yRowAt = y.offset() + row * g.outWidth() * cout;
            for (int ox = 0; ox < g.outWidth(); ox++) {
                int left = ox - g.padding();
                if (ox == innerFrom && innerTo > innerFrom) {
                    panels.run = kernel * cin;
                    panels.run(innerTo - innerFrom, cout, xRowAt + left * cin, wRowAt, initAt, yRowAt + ox * cout);
                    ox = innerTo - 1;
                } else {
                    int kx = Math.max(0, -left);
                    panels.run = Math.max(0, Math.min(kernel, g.width() - left) - kx) * cin;
                    panels.run(
                            1, cout, xRowAt + (left + kx) * cin, wRowAt + kx * cin * cout, initAt, yRowAt + ox * cout);
                }
            }
        }
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
        int kernel = g.kernel();
        Arrays.fill(dw.array(), dw.offset() + fromRow * cout, dw.offset() + toRow * cout, 0f);
        Panels panels = new Panels(x.array(), dy.array(), dw.array(), new float[cout]);
        panels.rows = 1;
        panels.xStep = 1;
        panels.xInner = cin;
        panels.wStep = cout;
        panels.yStep = cout;
        panels.finish = Panels.Finish.ADD;
        // Image rows outermost: a row of x and dy stays in L1 while all taps and channels use it.
        for (int row = 0; row < g.rows(); row++) {
            for (int r = fromRow; r < toRow; ) {
                int tap = r / cin;
                int ci = r % cin;
                int count = Math.min(cin - ci, toRow - r);
                int iy = row % g.outHeight() - g.padding() + tap / kernel;
                int shift = tap % kernel - g.padding();
                int ox = Math.max(0, -shift);
                int end = Math.min(g.outWidth(), g.width() - shift);
                if (iy >= 0 && iy < g.height() && ox < end) {
                    panels.run = end - ox;
                    panels.run(
                            count,
                            cout,
                            x.offset()
                                    + (((row / g.outHeight()) * g.height() + iy) * g.width() + ox + shift) * cin
                                    + ci,
                            dy.offset() + (row * g.outWidth() + ox) * cout,
                            0,
                            dw.offset() + r * cout);
                }
                r += count;
            }
        }
    }
}
