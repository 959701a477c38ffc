// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Levels;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.PointwiseKernels.FakeQuantizeSums;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** Attention inside windows as its interface defines it. */
final class ScalarAttentionKernels implements AttentionKernels {
    @Override
    public int scratch(AttentionGeometry g) {
        return 0;
    }

    /** One head in one window: rows of depth channels, scores with the key first. */
    private static final class Head {
        final int n;
        final int depth;
        final float[][] q;
        final float[][] k;
        final float[][] v;
        final float[][] e;
        final float[] inverse;
        /** Queries, keys and values before they were quantized. */
        final float[][][] given = new float[3][][];

        Head(AttentionGeometry g, Tensor qkv, float[] bias, @Nullable AttentionGrids grids, int[] pixels, int head) {
            n = g.pixels();
            depth = g.depth();
            q = rows(qkv, pixels, 3 * g.channels(), head * depth, depth);
            k = rows(qkv, pixels, 3 * g.channels(), g.channels() + head * depth, depth);
            v = rows(qkv, pixels, 3 * g.channels(), 2 * g.channels() + head * depth, depth);
            for (float[] row : q) {
                for (int c = 0; c < depth; c++) {
                    row[c] *= g.queryScale();
                }
            }
            if (grids != null) {
                given[0] = quantize(q, grids.queries().levels());
                given[1] = quantize(k, grids.keys().levels());
                given[2] = quantize(v, grids.values().levels());
            }
            e = new float[n][n];
            inverse = new float[n];
            for (int i = 0; i < n; i++) {
                float max = Float.NEGATIVE_INFINITY;
                for (int j = 0; j < n; j++) {
                    float score = bias[(head * n + j) * g.stride() + i];
                    for (int c = 0; c < depth; c++) {
                        score = Math.fma(k[j][c], q[i][c], score);
                    }
                    e[j][i] = score;
                    max = Math.max(max, score);
                }
                float sum = 0;
                for (int j = 0; j < n; j++) {
                    e[j][i] = Exponential.exp(e[j][i] - max);
                    sum += e[j][i];
                }
                inverse[i] = 1 / sum;
            }
        }

        /** Replaces values by levels and returns what they were. */
        static float[][] quantize(float[][] rows, Levels levels) {
            float[][] before = Arrays.stream(rows).map(float[]::clone).toArray(float[][]::new);
            for (float[] row : rows) {
                for (int i = 0; i < row.length; i++) {
                    row[i] = levels.level(levels.code(row[i]));
                }
            }
            return before;
        }

        /** Divides by the sums. */
        void normalise() {
            for (float[] row : e) {
                for (int i = 0; i < n; i++) {
                    row[i] *= inverse[i];
                }
            }
        }

        static float[][] rows(Tensor t, int[] pixels, int step, int from, int depth) {
            float[][] rows = new float[pixels.length][];
            for (int i = 0; i < rows.length; i++) {
                int at = t.offset() + pixels[i] * step + from;
                rows[i] = Arrays.copyOfRange(t.array(), at, at + depth);
            }
            return rows;
        }
    }

    @Override
    public void forward(
            AttentionGeometry g,
            Tensor qkv,
            float[][] biases,
            @Nullable AttentionGrids grids,
            Tensor y,
            float[] scratch,
            int from,
            int to) {
        g.check(qkv, biases, y, from, to);
        int[] pixels = new int[g.pixels()];
        for (int window = from; window < to; window++) {
            g.pixels(window, pixels);
            for (int head = 0; head < g.heads(); head++) {
                Head h = new Head(g, qkv, biases[g.kind(window)], grids, pixels, head);
                if (grids != null) {
                    h.normalise();
                    Head.quantize(h.e, grids.probabilities().levels());
                    Arrays.fill(h.inverse, 1);
                }
                for (int i = 0; i < h.n; i++) {
                    for (int c = 0; c < h.depth; c++) {
                        float sum = 0;
                        for (int j = 0; j < h.n; j++) {
                            sum = Math.fma(h.v[j][c], h.e[j][i], sum);
                        }
                        y.array()[y.offset() + pixels[i] * g.channels() + head * h.depth + c] = sum * h.inverse[i];
                    }
                }
            }
        }
    }

    @Override
    public void backward(
            AttentionGeometry g,
            Tensor qkv,
            float[][] biases,
            @Nullable AttentionGrids grids,
            Tensor dy,
            Tensor dqkv,
            Tensor dBias,
            @Nullable Tensor dBounds,
            float[] scratch,
            int from,
            int to) {
        g.check(qkv, biases, dy, from, to);
        int[] pixels = new int[g.pixels()];
        for (int window = from; window < to; window++) {
            g.pixels(window, pixels);
            for (int head = 0; head < g.heads(); head++) {
                Head h = new Head(g, qkv, biases[g.kind(window)], grids, pixels, head);
                float[][] d = Head.rows(dy, pixels, g.channels(), head * h.depth, h.depth);
                float[][] dp = product(h.v, d);
                h.normalise();
                // What the values were multiplied with.
                float[][] p = h.e;
                if (grids != null && dBounds != null) {
                    p = Arrays.stream(h.e).map(float[]::clone).toArray(float[][]::new);
                    Head.quantize(p, grids.probabilities().levels());
                    straightThrough(h.e, grids.probabilities().levels(), dp, dBounds, 2);
                }
                float[][] dScore = dScores(h, dp);
                for (int j = 0; j < h.n; j++) {
                    for (int i = 0; i < h.n; i++) {
                        dBias.array()[dBias.offset() + (head * h.n + j) * g.stride() + i] += dScore[j][i];
                    }
                }
                float[][] dq = new float[h.n][h.depth];
                float[][] dk = new float[h.n][h.depth];
                float[][] dv = new float[h.n][h.depth];
                for (int i = 0; i < h.n; i++) {
                    for (int c = 0; c < h.depth; c++) {
                        for (int o = 0; o < h.n; o++) {
                            dq[i][c] = Math.fma(h.k[o][c], dScore[o][i], dq[i][c]);
                            dk[i][c] = Math.fma(dScore[i][o], h.q[o][c], dk[i][c]);
                            dv[i][c] = Math.fma(p[i][o], d[o][c], dv[i][c]);
                        }
                    }
                }
                if (grids != null && dBounds != null) {
                    straightThrough(h.given[0], grids.queries().levels(), dq, dBounds, 0);
                    straightThrough(h.given[1], grids.keys().levels(), dk, dBounds, 1);
                    straightThrough(h.given[2], grids.values().levels(), dv, dBounds, 3);
                }
                for (int i = 0; i < h.n; i++) {
                    int at = dqkv.offset() + pixels[i] * 3 * g.channels() + head * h.depth;
                    for (int c = 0; c < h.depth; c++) {
                        dqkv.array()[at + c] = dq[i][c] * g.queryScale();
                        dqkv.array()[at + g.channels() + c] = dk[i][c];
                        dqkv.array()[at + 2 * g.channels() + c] = dv[i][c];
                    }
                }
            }
        }
    }

    /** Turns the gradients of levels into those of what was quantized, and adds those of the bounds of a grid. */
    private static void straightThrough(float[][] x, Levels levels, float[][] d, Tensor dBounds, int row) {
        PointwiseKernels kernels = new ScalarPointwiseKernels();
        UniformGrid grid = PointwiseKernels.range(levels);
        for (int i = 0; i < x.length; i++) {
            Tensor dRow = Tensor.of(d[i], d[i].length);
            FakeQuantizeSums sums =
                    kernels.fakeQuantizeGradient(Tensor.of(x[i], x[i].length), grid, dRow, dRow, 0, d[i].length);
            if (grid.equals(levels)) {
                sums.addTo(dBounds, row, grid);
            }
            System.arraycopy(dRow.array(), dRow.offset(), d[i], 0, d[i].length);
        }
    }

    /** Returns {@code sum over c of v[j, c] d[i, c]}. */
    private static float[][] product(float[][] v, float[][] d) {
        float[][] product = new float[v.length][d.length];
        for (int j = 0; j < v.length; j++) {
            for (int i = 0; i < d.length; i++) {
                for (int c = 0; c < d[i].length; c++) {
                    product[j][i] = Math.fma(v[j][c], d[i][c], product[j][i]);
                }
            }
        }
        return product;
    }

    /** Returns the gradient of the scores from that of the probabilities {@code e}. */
    private static float[][] dScores(Head h, float[][] dp) {
        float[][] dScore = new float[h.n][h.n];
        for (int i = 0; i < h.n; i++) {
            float dot = 0;
            for (int j = 0; j < h.n; j++) {
                dot = Math.fma(h.e[j][i], dp[j][i], dot);
            }
            for (int j = 0; j < h.n; j++) {
                dScore[j][i] = h.e[j][i] * (dp[j][i] - dot);
            }
        }
        return dScore;
    }
}
