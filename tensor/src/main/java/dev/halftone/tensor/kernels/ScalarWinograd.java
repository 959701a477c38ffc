// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import static dev.halftone.tensor.kernels.WinogradWeight.A;
import static dev.halftone.tensor.kernels.WinogradWeight.B;
import static dev.halftone.tensor.kernels.WinogradWeight.INPUT;
import static dev.halftone.tensor.kernels.WinogradWeight.TILE;

import dev.halftone.tensor.Tensor;
import java.util.Arrays;

/** Winograd's convolution as {@link ConvKernels#winograd} defines it, tile by tile. */
final class ScalarWinograd {
    private final ConvGeometry g;
    private final WinogradWeight weight;
    /** A tile: {@code [36, inChannels]} and {@code [36, outChannels]}. */
    private final float[] inputs;

    private final float[] products;

    ScalarWinograd(ConvGeometry g, WinogradWeight weight) {
        this.g = g;
        this.weight = weight;
        inputs = new float[INPUT * INPUT * g.inChannels()];
        products = new float[INPUT * INPUT * g.outChannels()];
    }

    void forward(Tensor x, boolean relu, Tensor y, int from, int to) {
        weight.check(g, x, y, from, to);
        for (int i = from; i < to; i++) {
            WinogradWeight.Block block = WinogradWeight.block(g, i);
            for (int column = 0; column < block.width(); column += TILE) {
                tile(x, relu, y, block.n(), block.top(), block.left() + column);
            }
        }
    }

    private void tile(Tensor x, boolean relu, Tensor y, int n, int top, int left) {
        int cin = g.inChannels();
        int cout = g.outChannels();
        for (int i = 0; i < INPUT * INPUT; i++) {
            int iy = top - g.top() + i / INPUT;
            int ix = left - g.padding() + i % INPUT;
            if (iy < 0 || iy >= g.height() || ix < 0 || ix >= g.width()) {
                Arrays.fill(inputs, i * cin, (i + 1) * cin, 0f);
            } else {
                int from = x.offset() + ((n * g.height() + iy) * g.width() + ix) * cin;
                System.arraycopy(x.array(), from, inputs, i * cin, cin);
            }
        }
        for (int c = 0; c < cin; c++) {
            for (int j = 0; j < INPUT; j++) {
                transformInput(inputs, j * cin + c, INPUT * cin);
            }
            for (int i = 0; i < INPUT; i++) {
                transformInput(inputs, i * INPUT * cin + c, cin);
            }
        }
        Arrays.fill(products, 0f);
        for (int f = 0; f < INPUT * INPUT; f++) {
            for (int ci = 0; ci < cin; ci++) {
                float value = inputs[f * cin + ci];
                int from = (f * cin + ci) * cout;
                for (int c = 0; c < cout; c++) {
                    products[f * cout + c] = Math.fma(value, weight.values()[from + c], products[f * cout + c]);
                }
            }
        }
        for (int c = 0; c < cout; c++) {
            for (int i = 0; i < INPUT; i++) {
                transformOutput(products, i * INPUT * cout + c, cout);
            }
            for (int j = 0; j < TILE; j++) {
                transformOutput(products, j * cout + c, INPUT * cout);
            }
        }
        int r = weight.shuffle();
        int channels = cout / (r * r);
        for (int i = 0; i < Math.min(TILE, g.outHeight() - top); i++) {
            for (int j = 0; j < Math.min(TILE, g.outWidth() - left); j++) {
                for (int c = 0; c < cout; c++) {
                    float v = products[(i * INPUT + j) * cout + c] + weight.bias()[c];
                    int row = (n * g.outHeight() + top + i) * r + c / channels / r;
                    int column = (left + j) * r + c / channels % r;
                    int to = y.offset() + (row * g.outWidth() * r + column) * channels + c % channels;
                    y.array()[to] = relu ? Math.max(v, 0f) : v;
                }
            }
        }
    }

    /** Transforms a line of 6 inputs in place. */
    private static void transformInput(float[] d, int at, int step) {
        float d0 = d[at];
        float d1 = d[at + step];
        float d2 = d[at + 2 * step];
        float d3 = d[at + 3 * step];
        float d4 = d[at + 4 * step];
        float d5 = d[at + 5 * step];
        float u = Math.fma(-B * B, d2, d4);
        float v = Math.fma(-B * B, d1, d3);
        float p = Math.fma(-A * A, d2, d4);
        float q = Math.fma(-A * A, d1, d3);
        d[at] = Math.fma(A * A * B * B, d0, Math.fma(-(A * A + B * B), d2, d4));
        d[at + step] = Math.fma(A, v, u);
        d[at + 2 * step] = Math.fma(-A, v, u);
        d[at + 3 * step] = Math.fma(B, q, p);
        d[at + 4 * step] = Math.fma(-B, q, p);
        d[at + 5 * step] = Math.fma(A * A * B * B, d1, Math.fma(-(A * A + B * B), d3, d5));
    }

    /** Transforms a line of 6 products to 4 outputs, in place of the first 4. */
    private static void transformOutput(float[] m, int at, int step) {
        float s = m[at + step] + m[at + 2 * step];
        float t = m[at + step] - m[at + 2 * step];
        float p = m[at + 3 * step] + m[at + 4 * step];
        float q = m[at + 3 * step] - m[at + 4 * step];
        float m5 = m[at + 5 * step];
        m[at] = (m[at] + s) + p;
        m[at + step] = Math.fma(B, q, A * t);
        m[at + 2 * step] = Math.fma(B * B, p, A * A * s);
        m[at + 3 * step] = Math.fma(B * B * B, q, Math.fma(A * A * A, t, m5));
    }
}
