// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Tensor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** The convolutions as their interface defines them. The innermost loop runs over output channels, so C2 can vectorise it. */
final class ScalarConvKernels implements ConvKernels {
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
        g.checkForward(x, weight, bias, y, fromRow, toRow);
        int cout = g.outChannels();
        for (int row = fromRow; row < toRow; row++) {
            for (int ox = 0; ox < g.outWidth(); ox++) {
                int to = y.offset() + (row * g.outWidth() + ox) * cout;
                if (bias == null) {
                    Arrays.fill(y.array(), to, to + cout, 0f);
                } else {
                    System.arraycopy(bias.array(), bias.offset(), y.array(), to, cout);
                }
                pixel(g, x, weight, y.array(), to, row / g.outHeight(), row % g.outHeight(), ox);
                for (int co = 0; relu && co < cout; co++) {
                    y.array()[to + co] = Math.max(y.array()[to + co], 0f);
                }
            }
        }
    }

    private static void pixel(ConvGeometry g, Tensor x, Tensor weight, float[] y, int to, int n, int oy, int ox) {
        int cinGroup = g.inChannels() / g.groups();
        int coutGroup = g.outChannels() / g.groups();
        for (int ky = 0; ky < g.kernel(); ky++) {
            int iy = oy - g.top() + ky;
            for (int kx = 0; kx < g.kernel(); kx++) {
                int ix = ox - g.padding() + kx;
                if (iy < 0 || iy >= g.height() || ix < 0 || ix >= g.width()) {
                    continue;
                }
                int from = x.offset() + ((n * g.height() + iy) * g.width() + ix) * g.inChannels();
                int tap = weight.offset() + (ky * g.kernel() + kx) * cinGroup * g.outChannels();
                for (int group = 0; group < g.groups(); group++) {
                    for (int ci = 0; ci < cinGroup; ci++) {
                        float value = x.array()[from + group * cinGroup + ci];
                        int w = tap + ci * g.outChannels();
                        for (int co = group * coutGroup; co < (group + 1) * coutGroup; co++) {
                            y[to + co] = Math.fma(value, weight.array()[w + co], y[to + co]);
                        }
                    }
                }
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
        new ScalarWinograd(g, weight).forward(x, relu, y, from, to);
    }

    @Override
    public int winogradScratch(WinogradWeight weight) {
        return 0;
    }

    @Override
    public void weightGradient(ConvGeometry g, Tensor x, Tensor dy, Tensor dw, int fromRow, int toRow) {
        g.checkWeightGradient(x, dy, dw, fromRow, toRow);
        int cinGroup = g.inChannels() / g.groups();
        int coutGroup = g.outChannels() / g.groups();
        int cout = g.outChannels();
        float[] sum = new float[cout];
        for (int r = fromRow; r < toRow; r++) {
            int kx = r / cinGroup % g.kernel();
            int ky = r / cinGroup / g.kernel();
            int to = dw.offset() + r * cout;
            Arrays.fill(dw.array(), to, to + cout, 0f);
            for (int block = 0; block < g.rows(); block = g.sumEnd(block)) {
                Arrays.fill(sum, 0f);
                for (int row = block; row < g.sumEnd(block); row++) {
                    for (int ox = 0; ox < g.outWidth(); ox++) {
                        int iy = row % g.outHeight() - g.top() + ky;
                        int ix = ox - g.padding() + kx;
                        if (iy < 0 || iy >= g.height() || ix < 0 || ix >= g.width()) {
                            continue;
                        }
                        int n = row / g.outHeight();
                        int xAt = x.offset() + ((n * g.height() + iy) * g.width() + ix) * g.inChannels() + r % cinGroup;
                        int dyAt = dy.offset() + (row * g.outWidth() + ox) * cout;
                        for (int group = 0; group < g.groups(); group++) {
                            float value = x.array()[xAt + group * cinGroup];
                            for (int co = group * coutGroup; co < (group + 1) * coutGroup; co++) {
                                sum[co] = Math.fma(value, dy.array()[dyAt + co], sum[co]);
                            }
                        }
                    }
                }
                for (int co = 0; co < cout; co++) {
                    dw.array()[to + co] += sum[co];
                }
            }
        }
    }
}
