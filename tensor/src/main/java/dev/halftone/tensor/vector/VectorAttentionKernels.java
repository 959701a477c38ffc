// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.Levels;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.AttentionGeometry;
import dev.halftone.tensor.kernels.AttentionGrids;
import dev.halftone.tensor.kernels.AttentionKernels;
import dev.halftone.tensor.kernels.CodeSteps;
import dev.halftone.tensor.kernels.PointwiseKernels;
import dev.halftone.tensor.kernels.PointwiseKernels.FakeQuantizeSums;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;
import org.jspecify.annotations.Nullable;

/**
 * Attention inside windows on the micro-kernel of {@link Panels}. Queries are turned so that the lanes run over the queries of a window
 * (64 of them, not the 10 channels of a head), scores have the key first, and a softmax needs no sum across lanes.
 */
final class VectorAttentionKernels implements AttentionKernels {
    private static final VectorSpecies<Float> FLOATS = Panels.SPECIES;
    private static final int LANES = Panels.LANES;

    /** Where in the scratch memory everything lies. */
    private record Layout(
            AttentionGeometry g,
            int n,
            int stride,
            int wide,
            int q,
            int k,
            int v,
            int scores,
            int y,
            int inverse,
            int dy,
            int dyRows,
            int qRows,
            int dScores,
            int rows,
            int dk,
            int dv,
            int given,
            int levels,
            int zeros,
            int size) {
        static Layout of(AttentionGeometry g) {
            int n = g.pixels();
            int stride = g.stride();
            int channels = g.channels();
            int wide = Math.ceilDiv(g.depth(), LANES) * LANES;
            int q = 0;
            int k = q + channels * stride;
            int v = k + n * channels;
            int scores = v + n * channels;
            int y = scores + n * stride;
            int inverse = y + channels * stride;
            int dy = inverse + stride;
            int dyRows = dy + channels * stride;
            int qRows = dyRows + n * wide;
            int dScores = qRows + n * wide;
            int rows = dScores + n * stride;
            int dk = rows + n * wide;
            int dv = dk + n * channels;
            // Queries, keys and values before they were quantized, in one piece as the first three are.
            int given = dv + n * channels;
            int levels = given + scores;
            int zeros = levels + n * stride;
            return new Layout(
                    g,
                    n,
                    stride,
                    wide,
                    q,
                    k,
                    v,
                    scores,
                    y,
                    inverse,
                    dy,
                    dyRows,
                    qRows,
                    dScores,
                    rows,
                    dk,
                    dv,
                    given,
                    levels,
                    zeros,
                    zeros + Math.max(stride, wide));
        }
    }

    @Override
    public int scratch(AttentionGeometry g) {
        return Layout.of(g).size;
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
        Layout s = Layout.of(g);
        int[] pixels = new int[s.n];
        Arrays.fill(scratch, 0, s.size, 0f);
        for (int window = from; window < to; window++) {
            g.pixels(window, pixels);
            gather(s, qkv, pixels, scratch);
            if (grids != null) {
                quantize(s, grids, scratch);
            }
            for (int head = 0; head < g.heads(); head++) {
                scores(s, biases[g.kind(window)], head, scratch);
                if (grids != null) {
                    probabilities(s, grids.probabilities(), scratch);
                }
                // y[c, i] = sum over j of v[j, c] e[j, i]
                product(
                        s,
                        scratch,
                        s.v + head * g.depth(),
                        1,
                        g.channels(),
                        s.scores,
                        s.stride,
                        s.y + head * g.depth() * s.stride,
                        g.depth(),
                        s.n,
                        s.stride);
                if (grids == null) {
                    divide(s, head, scratch);
                }
            }
            turnBack(scratch, s.y, s.stride, g.channels(), y, pixels, g.channels(), 0);
        }
    }

    /** Replaces queries, keys and values by the levels of their codes. */
    private static void quantize(Layout s, AttentionGrids grids, float[] scratch) {
        int channels = s.g.channels();
        FakeQuantization.levels(grids.queries(), scratch, s.q, scratch, s.q, channels * s.stride);
        FakeQuantization.levels(grids.keys(), scratch, s.k, scratch, s.k, s.n * channels);
        FakeQuantization.levels(grids.values(), scratch, s.v, scratch, s.v, s.n * channels);
    }

    /** Turns {@code e} into the levels of probabilities. */
    private static void probabilities(Layout s, CodeSteps steps, float[] scratch) {
        boolean four = steps.rising().length == 3;
        for (int i = 0; i < s.stride; i += LANES) {
            if (four) {
                FakeQuantization.scaledFourLevels(steps, scratch, s.scores + i, s.n, s.stride, s.inverse + i);
            } else {
                FakeQuantization.scaledLevels(steps, scratch, s.scores + i, s.n, s.stride, s.inverse + i);
            }
        }
    }

    /** Multiplies {@code e} with the inverses of the sums. */
    private static void normalise(float[] e, int at, int n, int stride, int inverseAt) {
        FloatVector inverse = FloatVector.fromArray(FLOATS, e, inverseAt);
        for (int j = 0; j < n; j++) {
            FloatVector.fromArray(FLOATS, e, at + j * stride).mul(inverse).intoArray(e, at + j * stride);
        }
    }

    /** Copies keys and values of a window, and turns its queries: {@code q[c, i]}, scaled. */
    private static void gather(Layout s, Tensor qkv, int[] pixels, float[] scratch) {
        int channels = s.g.channels();
        float scale = s.g.queryScale();
        for (int i = 0; i < s.n; i++) {
            int at = qkv.offset() + pixels[i] * 3 * channels;
            turn(qkv.array(), at, channels, scale, scratch, s.q + i, s.stride);
            System.arraycopy(qkv.array(), at + channels, scratch, s.k + i * channels, channels);
            System.arraycopy(qkv.array(), at + 2 * channels, scratch, s.v + i * channels, channels);
        }
    }

    private static void turn(float[] from, int at, int count, float scale, float[] to, int toAt, int step) {
        for (int c = 0; c < count; c++) {
            to[toAt + c * step] = from[at + c] * scale;
        }
    }

    /** Copies {@code rows[c, i]} to channels of pixels. */
    private static void turnBack(
            float[] rows, int at, int stride, int channels, Tensor to, int[] pixels, int step, int channel) {
        for (int i = 0; i < pixels.length; i++) {
            int toAt = to.offset() + pixels[i] * step + channel;
            for (int c = 0; c < channels; c++) {
                to.array()[toAt + c] = rows[at + c * stride + i];
            }
        }
    }

    /** Computes {@code e[j, i]} and the inverses of its sums for one head. */
    private static void scores(Layout s, float[] bias, int head, float[] scratch) {
        AttentionGeometry g = s.g;
        Panels panels = new Panels(scratch, scratch, scratch, bias);
        panels.rows = 1;
        panels.run = g.depth();
        panels.xStep = g.channels();
        panels.xInner = 1;
        panels.wStep = s.stride;
        panels.yStep = s.stride;
        panels.initStep = s.stride;
        panels.run(
                s.n,
                s.stride,
                s.k + head * g.depth(),
                s.q + head * g.depth() * s.stride,
                head * s.n * s.stride,
                s.scores);
        for (int i = 0; i < s.stride; i += LANES) {
            softmax(scratch, s.scores + i, s.n, s.stride, s.inverse + i);
        }
    }

    private static void softmax(float[] scores, int at, int n, int stride, int inverseAt) {
        FloatVector max = FloatVector.fromArray(FLOATS, scores, at);
        for (int j = 1; j < n; j++) {
            FloatVector v = FloatVector.fromArray(FLOATS, scores, at + j * stride);
            max = v.blend(max, max.compare(VectorOperators.GE, v));
        }
        FloatVector sum = FloatVector.zero(FLOATS);
        for (int j = 0; j < n; j++) {
            FloatVector e = VectorExponential.exp(
                    FloatVector.fromArray(FLOATS, scores, at + j * stride).sub(max));
            e.intoArray(scores, at + j * stride);
            sum = sum.add(e);
        }
        FloatVector.broadcast(FLOATS, 1f).div(sum).intoArray(scores, inverseAt);
    }

    /** Multiplies the outputs of a head with the inverses of the sums. */
    private static void divide(Layout s, int head, float[] scratch) {
        int at = s.y + head * s.g.depth() * s.stride;
        for (int i = 0; i < s.stride; i += LANES) {
            FloatVector inverse = FloatVector.fromArray(FLOATS, scratch, s.inverse + i);
            for (int c = 0; c < s.g.depth(); c++) {
                int to = at + c * s.stride + i;
                FloatVector.fromArray(FLOATS, scratch, to).mul(inverse).intoArray(scratch, to);
            }
        }
    }

    /** {@code y[p, c] = sum over k of x[p, k] w[k, c]}, all in the scratch memory. */
    private static void product(
            Layout s,
            float[] scratch,
            int x,
            int xStep,
            int xInner,
            int w,
            int wStep,
            int y,
            int count,
            int run,
            int columns) {
        Panels panels = new Panels(scratch, scratch, scratch, scratch);
        panels.rows = 1;
        panels.run = run;
        panels.xStep = xStep;
        panels.xInner = xInner;
        panels.wStep = wStep;
        panels.yStep = columns;
        panels.run(count, columns, x, w, s.zeros, y);
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
        Layout s = Layout.of(g);
        int channels = g.channels();
        int depth = g.depth();
        int[] pixels = new int[s.n];
        Arrays.fill(scratch, 0, s.size, 0f);
        for (int window = from; window < to; window++) {
            g.pixels(window, pixels);
            gather(s, qkv, pixels, scratch);
            if (grids != null) {
                System.arraycopy(scratch, s.q, scratch, s.given, s.scores - s.q);
                quantize(s, grids, scratch);
            }
            for (int i = 0; i < s.n; i++) {
                turn(dy.array(), dy.offset() + pixels[i] * channels, channels, 1, scratch, s.dy + i, s.stride);
            }
            for (int head = 0; head < g.heads(); head++) {
                int first = head * depth;
                scores(s, biases[g.kind(window)], head, scratch);
                // Of probabilities: dp[j, i] = sum over c of v[j, c] dy[c, i]
                product(
                        s,
                        scratch,
                        s.v + first,
                        channels,
                        1,
                        s.dy + first * s.stride,
                        s.stride,
                        s.dScores,
                        s.n,
                        depth,
                        s.stride);
                for (int i = 0; i < s.stride; i += LANES) {
                    normalise(scratch, s.scores + i, s.n, s.stride, s.inverse + i);
                }
                int factors = s.scores;
                if (grids != null && dBounds != null) {
                    factors = s.levels;
                    FakeQuantization.levels(
                            grids.probabilities(), scratch, s.scores, scratch, s.levels, s.n * s.stride);
                    straightThrough(
                            grids.probabilities().levels(), scratch, s.scores, s.dScores, s.n * s.stride, dBounds, 2);
                }
                for (int i = 0; i < s.stride; i += LANES) {
                    softmaxGradient(scratch, s.scores + i, s.dScores + i, s.n, s.stride);
                }
                add(scratch, s.dScores, dBias.array(), dBias.offset() + head * s.n * s.stride, s.n * s.stride);
                // dq[c, i] = sum over j of k[j, c] ds[j, i]
                product(
                        s,
                        scratch,
                        s.k + first,
                        1,
                        channels,
                        s.dScores,
                        s.stride,
                        s.y + first * s.stride,
                        depth,
                        s.n,
                        s.stride);
                // dk[j, c] = sum over i of ds[j, i] q[i, c], and dv[j, c] = sum over i of p[j, i] dy[i, c]
                wideRows(scratch, s.q + first * s.stride, s.stride, depth, s.qRows, s.wide, s.n);
                wideRows(scratch, s.dy + first * s.stride, s.stride, depth, s.dyRows, s.wide, s.n);
                product(s, scratch, s.dScores, s.stride, 1, s.qRows, s.wide, s.rows, s.n, s.n, s.wide);
                narrowRows(scratch, s.rows, s.wide, depth, s.dk + first, channels, s.n);
                product(s, scratch, factors, s.stride, 1, s.dyRows, s.wide, s.rows, s.n, s.n, s.wide);
                narrowRows(scratch, s.rows, s.wide, depth, s.dv + first, channels, s.n);
            }
            if (grids != null && dBounds != null) {
                int given = s.given - s.q;
                straightThrough(grids.queries().levels(), scratch, given + s.q, s.y, channels * s.stride, dBounds, 0);
                straightThrough(grids.keys().levels(), scratch, given + s.k, s.dk, s.n * channels, dBounds, 1);
                straightThrough(grids.values().levels(), scratch, given + s.v, s.dv, s.n * channels, dBounds, 3);
            }
            for (int i = 0; i < s.n; i++) {
                int at = dqkv.offset() + pixels[i] * 3 * channels;
                System.arraycopy(scratch, s.dk + i * channels, dqkv.array(), at + channels, channels);
                System.arraycopy(scratch, s.dv + i * channels, dqkv.array(), at + 2 * channels, channels);
            }
            scale(scratch, s.y, channels * s.stride, g.queryScale());
            turnBack(scratch, s.y, s.stride, channels, dqkv, pixels, 3 * channels, 0);
        }
    }

    /** Copies {@code rows[c, i]} to {@code to[i, c]}, whose rows are longer. */
    private static void wideRows(float[] scratch, int at, int stride, int depth, int to, int wide, int n) {
        for (int i = 0; i < n; i++) {
            for (int c = 0; c < depth; c++) {
                scratch[to + i * wide + c] = scratch[at + c * stride + i];
            }
        }
    }

    private static void narrowRows(float[] scratch, int at, int wide, int depth, int to, int step, int n) {
        for (int i = 0; i < n; i++) {
            System.arraycopy(scratch, at + i * wide, scratch, to + i * step, depth);
        }
    }

    /** Turns the gradients of levels into those of what was quantized, and adds those of the bounds of a grid. */
    private static void straightThrough(
            Levels levels, float[] scratch, int x, int d, int count, Tensor dBounds, int row) {
        UniformGrid grid = PointwiseKernels.range(levels);
        FakeQuantizeSums sums = FakeQuantization.gradient(grid, scratch, x, scratch, d, scratch, d, 0, count);
        if (grid.equals(levels)) {
            sums.addTo(dBounds, row, grid);
        }
    }

    /** Turns the gradients of the probabilities {@code p} into those of the scores. */
    private static void softmaxGradient(float[] a, int p, int d, int n, int stride) {
        FloatVector dot = FloatVector.zero(FLOATS);
        for (int j = 0; j < n; j++) {
            dot = FloatVector.fromArray(FLOATS, a, p + j * stride)
                    .fma(FloatVector.fromArray(FLOATS, a, d + j * stride), dot);
        }
        for (int j = 0; j < n; j++) {
            FloatVector.fromArray(FLOATS, a, d + j * stride)
                    .sub(dot)
                    .mul(FloatVector.fromArray(FLOATS, a, p + j * stride))
                    .intoArray(a, d + j * stride);
        }
    }

    private static void add(float[] from, int at, float[] to, int toAt, int count) {
        for (int i = 0; i < count; i += LANES) {
            FloatVector.fromArray(FLOATS, to, toAt + i)
                    .add(FloatVector.fromArray(FLOATS, from, at + i))
                    .intoArray(to, toAt + i);
        }
    }

    private static void scale(float[] a, int at, int count, float factor) {
        for (int i = at; i < at + count; i += LANES) {
            FloatVector.fromArray(FLOATS, a, i).mul(factor).intoArray(a, i);
        }
    }
}
