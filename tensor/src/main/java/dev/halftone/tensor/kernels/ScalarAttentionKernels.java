// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Tensor;
import java.util.Arrays;

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

        Head(AttentionGeometry g, Tensor qkv, float[] bias, int[] pixels, int head) {
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
            AttentionGeometry g, Tensor qkv, float[][] biases, Tensor y, float[] scratch, int from, int to) {
        g.check(qkv, biases, y, from, to);
        int[] pixels = new int[g.pixels()];
        for (int window = from; window < to; window++) {
            g.pixels(window, pixels);
            for (int head = 0; head < g.heads(); head++) {
                Head h = new Head(g, qkv, biases[g.kind(window)], pixels, head);
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
            Tensor dy,
            Tensor dqkv,
            Tensor dBias,
            float[] scratch,
            int from,
            int to) {
        g.check(qkv, biases, dy, from, to);
        int[] pixels = new int[g.pixels()];
        for (int window = from; window < to; window++) {
            g.pixels(window, pixels);
            for (int head = 0; head < g.heads(); head++) {
                Head h = new Head(g, qkv, biases[g.kind(window)], pixels, head);
                float[][] d = Head.rows(dy, pixels, g.channels(), head * h.depth, h.depth);
                float[][] dScore = dScores(h, d);
                for (int j = 0; j < h.n; j++) {
                    for (int i = 0; i < h.n; i++) {
                        dBias.array()[dBias.offset() + (head * h.n + j) * g.stride() + i] += dScore[j][i];
                    }
                }
                for (int p = 0; p < h.n; p++) {
                    int at = dqkv.offset() + pixels[p] * 3 * g.channels() + head * h.depth;
                    for (int c = 0; c < h.depth; c++) {
                        float dq = 0;
                        float dk = 0;
                        float dv = 0;
                        for (int o = 0; o < h.n; o++) {
                            dq = Math.fma(h.k[o][c], dScore[o][p], dq);
                            dk = Math.fma(dScore[p][o], h.q[o][c], dk);
                            dv = Math.fma(h.e[p][o], d[o][c], dv);
                        }
                        dqkv.array()[at + c] = dq * g.queryScale();
                        dqkv.array()[at + g.channels() + c] = dk;
                        dqkv.array()[at + 2 * g.channels() + c] = dv;
                    }
                }
            }
        }
    }

    /** Normalises {@code e} to probabilities and returns the gradient of the scores. */
    private static float[][] dScores(Head h, float[][] d) {
        float[][] dScore = new float[h.n][h.n];
        for (int i = 0; i < h.n; i++) {
            float dot = 0;
            for (int j = 0; j < h.n; j++) {
                float sum = 0;
                for (int c = 0; c < h.depth; c++) {
                    sum = Math.fma(h.v[j][c], d[i][c], sum);
                }
                h.e[j][i] *= h.inverse[i];
                dScore[j][i] = sum;
                dot = Math.fma(h.e[j][i], sum, dot);
            }
            for (int j = 0; j < h.n; j++) {
                dScore[j][i] = h.e[j][i] * (dScore[j][i] - dot);
            }
        }
        return dScore;
    }
}
