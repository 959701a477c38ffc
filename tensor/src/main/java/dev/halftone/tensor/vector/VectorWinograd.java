// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import static dev.halftone.tensor.kernels.WinogradWeight.A;
import static dev.halftone.tensor.kernels.WinogradWeight.B;
import static dev.halftone.tensor.kernels.WinogradWeight.BLOCK;
import static dev.halftone.tensor.kernels.WinogradWeight.INPUT;
import static dev.halftone.tensor.kernels.WinogradWeight.TILE;
import static dev.halftone.tensor.vector.Panels.LANES;
import static dev.halftone.tensor.vector.Panels.SPECIES;

import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.ConvGeometry;
import dev.halftone.tensor.kernels.WinogradWeight;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;

/**
 * Winograd's convolution with lanes over channels, a block of tiles at a time.
 *
 * <pre>{@code
 * 6 rows of x --columns--> [6][columns][ci] --rows--> V [36][tiles][ci] --36 products--> M [36][tiles][co] --> 4 rows of y
 * }</pre>
 *
 * The first pass works on all columns of a block, because neighbouring tiles share some.
 */
final class VectorWinograd {
    /** Columns that the tiles of a block read. */
    private static final int COLUMNS = TILE * BLOCK + 2;

    /** Between the 36 parts of V and M, which would be 4,096 bytes apart and compete for the same cache lines: 4.3 ms become 3.7. */
    private static final int PAD = 32;

    private final ConvGeometry g;
    private final WinogradWeight weight;
    private final int cin;
    private final int cout;
    private final Tensor x;
    private final Tensor y;
    private final boolean relu;
    private final float[] scratch;
    /** Where the parts of the scratch begin: zeros for a row outside the image, half-transformed columns, V, M, a tile. */
    private final int zeros;

    private final int columns;
    private final int inputs;
    private final int products;
    private final int half;
    private final int patch;
    private final Panels panels;

    static int scratch(WinogradWeight weight) {
        int cin = weight.inChannels();
        int cout = weight.outChannels();
        return (1 + INPUT) * COLUMNS * cin
                + INPUT * INPUT * (BLOCK * (cin + cout) + 2 * PAD)
                + INPUT * TILE * LANES
                + TILE * TILE * cout;
    }

    VectorWinograd(ConvGeometry g, WinogradWeight weight, Tensor x, boolean relu, Tensor y, float[] scratch) {
        this.g = g;
        this.weight = weight;
        this.x = x;
        this.y = y;
        this.relu = relu;
        this.scratch = scratch;
        cin = weight.inChannels();
        cout = weight.outChannels();
        zeros = 0;
        columns = zeros + COLUMNS * cin;
        inputs = columns + INPUT * COLUMNS * cin;
        products = inputs + INPUT * INPUT * (BLOCK * cin + PAD);
        half = products + INPUT * INPUT * (BLOCK * cout + PAD);
        patch = half + INPUT * TILE * LANES;
        panels = new Panels(scratch, weight.values(), scratch, new float[cout]);
        panels.xStep = cin;
        panels.xInner = 1;
        panels.wStep = cout;
        panels.yStep = cout;
        panels.rows = 1;
        panels.run = cin;
        Arrays.fill(scratch, zeros, columns, 0f);
    }

    void forward(int from, int to) {
        for (int i = from; i < to; i++) {
            WinogradWeight.Block block = WinogradWeight.block(g, i);
            block(block.n(), block.top(), block.left(), Math.ceilDiv(block.width(), TILE));
        }
    }

    private void block(int n, int top, int left, int tiles) {
        int width = TILE * tiles + 2;
        loadColumns(n, top - g.top(), left - g.padding(), width);
        for (int i = 0; i < INPUT; i++) {
            for (int t = 0; t < tiles; t++) {
                int from = columns + (i * width + TILE * t) * cin;
                rows(scratch, from, cin, inputs + i * INPUT * (BLOCK * cin + PAD) + t * cin, BLOCK * cin + PAD);
            }
        }
        for (int f = 0; f < INPUT * INPUT; f++) {
            panels.run(
                    tiles,
                    cout,
                    inputs + f * (BLOCK * cin + PAD),
                    f * cin * cout,
                    0,
                    products + f * (BLOCK * cout + PAD));
        }
        for (int t = 0; t < tiles; t++) {
            store(n, top, left + TILE * t, products + t * cout);
        }
    }

    /** Transforms columns {@code [left, left + width)} of six rows. */
    private void loadColumns(int n, int top, int left, int width) {
        int from = Math.max(0, left);
        int to = Math.min(g.width(), left + width);
        for (int i = 0; i < INPUT; i++) {
            int row = columns + i * width * cin;
            Arrays.fill(scratch, row, row + (from - left) * cin, 0f);
            Arrays.fill(scratch, row + (to - left) * cin, row + width * cin, 0f);
        }
        float[] a = x.array();
        columns(
                inside(top) ? a : scratch,
                at(n, top, from),
                inside(top + 1) ? a : scratch,
                at(n, top + 1, from),
                inside(top + 2) ? a : scratch,
                at(n, top + 2, from),
                inside(top + 3) ? a : scratch,
                at(n, top + 3, from),
                inside(top + 4) ? a : scratch,
                at(n, top + 4, from),
                inside(top + 5) ? a : scratch,
                at(n, top + 5, from),
                scratch,
                columns + (from - left) * cin,
                width * cin,
                (to - from) * cin);
    }

    private boolean inside(int row) {
        return row >= 0 && row < g.height();
    }

    private int at(int n, int row, int column) {
        return inside(row) ? x.offset() + ((n * g.height() + row) * g.width() + column) * cin : zeros;
    }

    /** Transforms {@code count} columns of six rows: the last vector overlaps the one before it. */
    private static void columns(
            float[] r0,
            int at0,
            float[] r1,
            int at1,
            float[] r2,
            int at2,
            float[] r3,
            int at3,
            float[] r4,
            int at4,
            float[] r5,
            int at5,
            float[] to,
            int toAt,
            int toStep,
            int count) {
        for (int i = 0; i < count; i += LANES) {
            int c = Math.min(i, count - LANES);
            FloatVector d1 = FloatVector.fromArray(SPECIES, r1, at1 + c);
            FloatVector d2 = FloatVector.fromArray(SPECIES, r2, at2 + c);
            FloatVector d3 = FloatVector.fromArray(SPECIES, r3, at3 + c);
            FloatVector d4 = FloatVector.fromArray(SPECIES, r4, at4 + c);
            int at = toAt + c;
            end(FloatVector.fromArray(SPECIES, r0, at0 + c), d2, d4).intoArray(to, at);
            end(d1, d3, FloatVector.fromArray(SPECIES, r5, at5 + c)).intoArray(to, at + 5 * toStep);
            FloatVector u = d2.fma(broadcast(-B * B), d4);
            FloatVector v = d1.fma(broadcast(-B * B), d3);
            v.fma(broadcast(A), u).intoArray(to, at + toStep);
            v.fma(broadcast(-A), u).intoArray(to, at + 2 * toStep);
            FloatVector p = d2.fma(broadcast(-A * A), d4);
            FloatVector q = d1.fma(broadcast(-A * A), d3);
            q.fma(broadcast(B), p).intoArray(to, at + 3 * toStep);
            q.fma(broadcast(-B), p).intoArray(to, at + 4 * toStep);
        }
    }

    /** Transforms six neighbouring pixels of {@code channels} channels. */
    private static void rows(float[] a, int from, int channels, int toAt, int toStep) {
        for (int i = 0; i < channels; i += LANES) {
            int c = Math.min(i, channels - LANES);
            FloatVector d1 = FloatVector.fromArray(SPECIES, a, from + channels + c);
            FloatVector d2 = FloatVector.fromArray(SPECIES, a, from + 2 * channels + c);
            FloatVector d3 = FloatVector.fromArray(SPECIES, a, from + 3 * channels + c);
            FloatVector d4 = FloatVector.fromArray(SPECIES, a, from + 4 * channels + c);
            int at = toAt + c;
            FloatVector first = end(FloatVector.fromArray(SPECIES, a, from + c), d2, d4);
            FloatVector last = end(d1, d3, FloatVector.fromArray(SPECIES, a, from + 5 * channels + c));
            FloatVector u = d2.fma(broadcast(-B * B), d4);
            FloatVector v = d1.fma(broadcast(-B * B), d3);
            FloatVector p = d2.fma(broadcast(-A * A), d4);
            FloatVector q = d1.fma(broadcast(-A * A), d3);
            first.intoArray(a, at);
            v.fma(broadcast(A), u).intoArray(a, at + toStep);
            v.fma(broadcast(-A), u).intoArray(a, at + 2 * toStep);
            q.fma(broadcast(B), p).intoArray(a, at + 3 * toStep);
            q.fma(broadcast(-B), p).intoArray(a, at + 4 * toStep);
            last.intoArray(a, at + 5 * toStep);
        }
    }

    private static FloatVector broadcast(float value) {
        return FloatVector.broadcast(SPECIES, value);
    }

    private static FloatVector end(FloatVector near, FloatVector middle, FloatVector far) {
        return near.fma(broadcast(A * A * B * B), middle.fma(broadcast(-(A * A + B * B)), far));
    }

    /** Transforms the products of one tile and stores its outputs. */
    private void store(int n, int top, int left, int from) {
        int r = weight.shuffle();
        int channels = cout / (r * r);
        int height = Math.min(TILE, g.outHeight() - top);
        int width = Math.min(TILE, g.outWidth() - left);
        boolean whole = height == TILE && width == TILE;
        int row = g.outWidth() * r * channels;
        for (int i = 0; i < r; i++) {
            for (int j = 0; j < r; j++) {
                int part = (i * r + j) * channels;
                int to = y.offset() + ((n * g.outHeight() + top) * r + i) * row + (left * r + j) * channels;
                outputs(
                        scratch,
                        from + part,
                        BLOCK * cout + PAD,
                        half,
                        weight.bias(),
                        part,
                        relu,
                        whole ? y.array() : scratch,
                        whole ? to : patch,
                        whole ? r * channels : channels,
                        whole ? r * row : TILE * channels,
                        channels);
                for (int p = 0; !whole && p < height * width; p++) {
                    int oy = p / width;
                    int ox = p % width;
                    System.arraycopy(
                            scratch,
                            patch + (oy * TILE + ox) * channels,
                            y.array(),
                            to + oy * r * row + ox * r * channels,
                            channels);
                }
            }
        }
    }

    /** Transforms {@code count} channels of 36 products to 16 outputs. */
    private static void outputs(
            float[] m,
            int from,
            int step,
            int half,
            float[] bias,
            int biasAt,
            boolean relu,
            float[] y,
            int to,
            int pixel,
            int row,
            int count) {
        for (int k = 0; k < count; k += LANES) {
            int c = Math.min(k, count - LANES);
            for (int i = 0; i < INPUT; i++) {
                int at = from + c + i * INPUT * step;
                FloatVector m1 = FloatVector.fromArray(SPECIES, m, at + step);
                FloatVector m2 = FloatVector.fromArray(SPECIES, m, at + 2 * step);
                FloatVector m3 = FloatVector.fromArray(SPECIES, m, at + 3 * step);
                FloatVector m4 = FloatVector.fromArray(SPECIES, m, at + 4 * step);
                FloatVector m0 = FloatVector.fromArray(SPECIES, m, at);
                FloatVector m5 = FloatVector.fromArray(SPECIES, m, at + 5 * step);
                FloatVector s = m1.add(m2);
                FloatVector t = m1.sub(m2);
                FloatVector p = m3.add(m4);
                FloatVector q = m3.sub(m4);
                int line = half + i * TILE * LANES;
                m0.add(s).add(p).intoArray(m, line);
                q.fma(broadcast(B), t.mul(A)).intoArray(m, line + LANES);
                p.fma(broadcast(B * B), s.mul(A * A)).intoArray(m, line + 2 * LANES);
                q.fma(broadcast(B * B * B), t.fma(broadcast(A * A * A), m5)).intoArray(m, line + 3 * LANES);
            }
            FloatVector b = FloatVector.fromArray(SPECIES, bias, biasAt + c);
            for (int j = 0; j < TILE; j++) {
                int at = half + j * LANES;
                FloatVector m0 = FloatVector.fromArray(SPECIES, m, at);
                FloatVector m1 = FloatVector.fromArray(SPECIES, m, at + TILE * LANES);
                FloatVector m2 = FloatVector.fromArray(SPECIES, m, at + 2 * TILE * LANES);
                FloatVector m3 = FloatVector.fromArray(SPECIES, m, at + 3 * TILE * LANES);
                FloatVector m4 = FloatVector.fromArray(SPECIES, m, at + 4 * TILE * LANES);
                FloatVector m5 = FloatVector.fromArray(SPECIES, m, at + 5 * TILE * LANES);
                FloatVector s = m1.add(m2);
                FloatVector t = m1.sub(m2);
                FloatVector p = m3.add(m4);
                FloatVector q = m3.sub(m4);
                FloatVector y0 = m0.add(s).add(p).add(b);
                FloatVector y1 = q.fma(broadcast(B), t.mul(A)).add(b);
                FloatVector y2 = p.fma(broadcast(B * B), s.mul(A * A)).add(b);
                FloatVector y3 = q.fma(broadcast(B * B * B), t.fma(broadcast(A * A * A), m5))
                        .add(b);
                if (relu) {
                    y0 = y0.blend(0f, y0.compare(VectorOperators.LE, 0f));
                    y1 = y1.blend(0f, y1.compare(VectorOperators.LE, 0f));
                    y2 = y2.blend(0f, y2.compare(VectorOperators.LE, 0f));
                    y3 = y3.blend(0f, y3.compare(VectorOperators.LE, 0f));
                }
                int line = to + c + j * pixel;
                y0.intoArray(y, line);
                y1.intoArray(y, line + row);
                y2.intoArray(y, line + 2 * row);
                y3.intoArray(y, line + 3 * row);
            }
        }
    }
}
