// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Tensor;
import java.util.Arrays;

/** Normalisation and GELU as their interface defines them. */
final class ScalarNormKernels implements NormKernels {
    /** A term of a sum over columns. */
    @FunctionalInterface
    private interface Term {
        /** Returns {@code sum} with the term of column {@code c} added. */
        float addTo(float sum, int c);
    }

    private static float sum(int columns, Term term) {
        float[] partial = new float[SUM_LANES];
        for (int c = 0; c < columns; c++) {
            partial[c % SUM_LANES] = term.addTo(partial[c % SUM_LANES], c);
        }
        return NormKernels.total(partial);
    }

    private static float mean(float[] x, int at, int columns) {
        return sum(columns, (s, c) -> s + x[at + c]) / columns;
    }

    private static float scale(float[] x, int at, int columns, float mean, float epsilon) {
        float squares = sum(columns, (s, c) -> Math.fma(x[at + c] - mean, x[at + c] - mean, s));
        return 1 / (float) Math.sqrt(squares / columns + epsilon);
    }

    @Override
    public void layerNorm(Tensor x, Tensor weight, Tensor bias, float epsilon, Tensor y, int fromRow, int toRow) {
        int columns = NormKernels.checkRows(x, weight, y, fromRow, toRow);
        float[] from = x.array();
        for (int row = fromRow; row < toRow; row++) {
            int at = x.offset() + row * columns;
            float mean = mean(from, at, columns);
            float scale = scale(from, at, columns, mean, epsilon);
            for (int c = 0; c < columns; c++) {
                y.array()[y.offset() + row * columns + c] = Math.fma(
                        (from[at + c] - mean) * scale,
                        weight.array()[weight.offset() + c],
                        bias.array()[bias.offset() + c]);
            }
        }
    }

    @Override
    public void layerNormGradient(
            Tensor x, Tensor weight, float epsilon, Tensor dy, Tensor dx, Tensor dWeightBias, int fromRow, int toRow) {
        int columns = NormKernels.checkRows(x, weight, dx, fromRow, toRow);
        float[] from = x.array();
        float[] gradient = dy.array();
        float[] sums = dWeightBias.array();
        int sumsAt = dWeightBias.offset();
        float[] w = Arrays.copyOfRange(weight.array(), weight.offset(), weight.offset() + columns);
        for (int row = fromRow; row < toRow; row++) {
            int at = x.offset() + row * columns;
            int dyAt = dy.offset() + row * columns;
            float mean = mean(from, at, columns);
            float scale = scale(from, at, columns, mean, epsilon);
            float sum = sum(columns, (s, c) -> Math.fma(gradient[dyAt + c], w[c], s)) / columns;
            float product =
                    sum(columns, (s, c) -> Math.fma(gradient[dyAt + c] * w[c], (from[at + c] - mean) * scale, s))
                            / columns;
            for (int c = 0; c < columns; c++) {
                float normal = (from[at + c] - mean) * scale;
                float d = gradient[dyAt + c];
                sums[sumsAt + c] = Math.fma(d, normal, sums[sumsAt + c]);
                sums[sumsAt + columns + c] += d;
                dx.array()[dx.offset() + row * columns + c] = scale * (d * w[c] - Math.fma(normal, product, sum));
            }
        }
    }

    @Override
    public void gelu(Tensor x, Tensor y, int from, int to) {
        PointwiseKernels.checkRange(from, to, x, y);
        for (int i = from; i < to; i++) {
            float v = x.array()[x.offset() + i];
            y.array()[y.offset() + i] = v * Gelu.probability(v);
        }
    }

    @Override
    public void geluGradient(Tensor x, Tensor dy, Tensor dx, int from, int to) {
        PointwiseKernels.checkRange(from, to, x, dy, dx);
        for (int i = from; i < to; i++) {
            dx.array()[dx.offset() + i] = dy.array()[dy.offset() + i] * Gelu.slope(x.array()[x.offset() + i]);
        }
    }
}
