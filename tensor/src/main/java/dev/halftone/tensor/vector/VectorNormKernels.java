// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.NormKernels;
import dev.halftone.tensor.kernels.PointwiseKernels;
import dev.halftone.tensor.kernels.ScalarKernels;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorSpecies;

/** Normalisation with lanes over the columns of a row, and GELU. */
final class VectorNormKernels implements NormKernels {
    private static final VectorSpecies<Float> FLOATS = Panels.SPECIES;
    private static final int LANES = Panels.LANES;

    /** Computes what is left when no whole vector is. */
    private static final NormKernels SCALAR = new ScalarKernels().norm();

    // Rows of transformers are short and no multiple of a vector: the rest of a row is a masked vector.

    private static float mean(float[] x, int at, int columns, float[] partial) {
        for (int lane = 0; lane < SUM_LANES; lane += LANES) {
            FloatVector sums = FloatVector.zero(FLOATS);
            int c = lane;
            for (; c + LANES <= columns; c += SUM_LANES) {
                sums = sums.add(FloatVector.fromArray(FLOATS, x, at + c));
            }
            if (c < columns) {
                sums = sums.add(FloatVector.fromArray(FLOATS, x, at + c, FLOATS.indexInRange(c, columns)));
            }
            sums.intoArray(partial, lane);
        }
        return NormKernels.total(partial) / columns;
    }

    private static float scale(float[] x, int at, int columns, float mean, float epsilon, float[] partial) {
        for (int lane = 0; lane < SUM_LANES; lane += LANES) {
            FloatVector sums = FloatVector.zero(FLOATS);
            int c = lane;
            for (; c + LANES <= columns; c += SUM_LANES) {
                FloatVector d = FloatVector.fromArray(FLOATS, x, at + c).sub(mean);
                sums = d.fma(d, sums);
            }
            if (c < columns) {
                VectorMask<Float> rest = FLOATS.indexInRange(c, columns);
                FloatVector d = FloatVector.zero(FLOATS)
                        .blend(FloatVector.fromArray(FLOATS, x, at + c, rest).sub(mean), rest);
                sums = d.fma(d, sums);
            }
            sums.intoArray(partial, lane);
        }
        return 1 / (float) Math.sqrt(NormKernels.total(partial) / columns + epsilon);
    }

    @Override
    public void layerNorm(Tensor x, Tensor weight, Tensor bias, float epsilon, Tensor y, int fromRow, int toRow) {
        int columns = NormKernels.checkRows(x, weight, y, fromRow, toRow);
        float[] partial = new float[SUM_LANES];
        for (int row = fromRow; row < toRow; row++) {
            int at = x.offset() + row * columns;
            float mean = mean(x.array(), at, columns, partial);
            float scale = scale(x.array(), at, columns, mean, epsilon, partial);
            normalize(x.array(), at, columns, mean, scale, weight, bias, y.array(), y.offset() + row * columns);
        }
    }

    private static void normalize(
            float[] x, int at, int columns, float mean, float scale, Tensor weight, Tensor bias, float[] y, int yAt) {
        float[] w = weight.array();
        int wAt = weight.offset();
        float[] b = bias.array();
        int bAt = bias.offset();
        int c = 0;
        for (; c + LANES <= columns; c += LANES) {
            FloatVector.fromArray(FLOATS, x, at + c)
                    .sub(mean)
                    .mul(scale)
                    .fma(FloatVector.fromArray(FLOATS, w, wAt + c), FloatVector.fromArray(FLOATS, b, bAt + c))
                    .intoArray(y, yAt + c);
        }
        if (c < columns) {
            VectorMask<Float> rest = FLOATS.indexInRange(c, columns);
            FloatVector.fromArray(FLOATS, x, at + c, rest)
                    .sub(mean)
                    .mul(scale)
                    .fma(
                            FloatVector.fromArray(FLOATS, w, wAt + c, rest),
                            FloatVector.fromArray(FLOATS, b, bAt + c, rest))
                    .intoArray(y, yAt + c, rest);
        }
    }

    @Override
    public void layerNormGradient(
            Tensor x, Tensor weight, float epsilon, Tensor dy, Tensor dx, Tensor dWeightBias, int fromRow, int toRow) {
        int columns = NormKernels.checkRows(x, weight, dx, fromRow, toRow);
        float[] from = x.array();
        float[] w = weight.array();
        int wAt = weight.offset();
        float[] partial = new float[SUM_LANES];
        for (int row = fromRow; row < toRow; row++) {
            int at = x.offset() + row * columns;
            int dyAt = dy.offset() + row * columns;
            float mean = mean(from, at, columns, partial);
            float scale = scale(from, at, columns, mean, epsilon, partial);
            float sum = dot(dy.array(), dyAt, w, wAt, columns, partial) / columns;
            float product = product(from, at, columns, mean, scale, dy.array(), dyAt, w, wAt, partial) / columns;
            gradient(from, at, columns, mean, scale, dy.array(), dyAt, w, wAt, sum, product, dx, row, dWeightBias);
        }
    }

    private static float dot(float[] a, int aAt, float[] b, int bAt, int columns, float[] partial) {
        for (int lane = 0; lane < SUM_LANES; lane += LANES) {
            FloatVector sums = FloatVector.zero(FLOATS);
            int c = lane;
            for (; c + LANES <= columns; c += SUM_LANES) {
                sums = FloatVector.fromArray(FLOATS, a, aAt + c).fma(FloatVector.fromArray(FLOATS, b, bAt + c), sums);
            }
            if (c < columns) {
                VectorMask<Float> rest = FLOATS.indexInRange(c, columns);
                sums = FloatVector.fromArray(FLOATS, a, aAt + c, rest)
                        .fma(FloatVector.fromArray(FLOATS, b, bAt + c, rest), sums);
            }
            sums.intoArray(partial, lane);
        }
        return NormKernels.total(partial);
    }

    private static float product(
            float[] x,
            int at,
            int columns,
            float mean,
            float scale,
            float[] dy,
            int dyAt,
            float[] w,
            int wAt,
            float[] partial) {
        for (int lane = 0; lane < SUM_LANES; lane += LANES) {
            FloatVector sums = FloatVector.zero(FLOATS);
            int c = lane;
            for (; c + LANES <= columns; c += SUM_LANES) {
                FloatVector normal =
                        FloatVector.fromArray(FLOATS, x, at + c).sub(mean).mul(scale);
                sums = FloatVector.fromArray(FLOATS, dy, dyAt + c)
                        .mul(FloatVector.fromArray(FLOATS, w, wAt + c))
                        .fma(normal, sums);
            }
            if (c < columns) {
                VectorMask<Float> rest = FLOATS.indexInRange(c, columns);
                FloatVector normal =
                        FloatVector.fromArray(FLOATS, x, at + c, rest).sub(mean).mul(scale);
                // Lanes outside have a gradient of 0.
                sums = FloatVector.fromArray(FLOATS, dy, dyAt + c, rest)
                        .mul(FloatVector.fromArray(FLOATS, w, wAt + c, rest))
                        .fma(normal, sums);
            }
            sums.intoArray(partial, lane);
        }
        return NormKernels.total(partial);
    }

    private static void gradient(
            float[] x,
            int at,
            int columns,
            float mean,
            float scale,
            float[] dy,
            int dyAt,
            float[] w,
            int wAt,
            float sum,
            float product,
            Tensor dx,
            int row,
            Tensor dWeightBias) {
        float[] to = dx.array();
        int toAt = dx.offset() + row * columns;
        float[] sums = dWeightBias.array();
        int sumsAt = dWeightBias.offset();
        FloatVector meanDy = FloatVector.broadcast(FLOATS, sum);
        FloatVector meanProduct = FloatVector.broadcast(FLOATS, product);
        int c = 0;
        for (; c + LANES <= columns; c += LANES) {
            FloatVector normal =
                    FloatVector.fromArray(FLOATS, x, at + c).sub(mean).mul(scale);
            FloatVector d = FloatVector.fromArray(FLOATS, dy, dyAt + c);
            d.fma(normal, FloatVector.fromArray(FLOATS, sums, sumsAt + c)).intoArray(sums, sumsAt + c);
            FloatVector.fromArray(FLOATS, sums, sumsAt + columns + c).add(d).intoArray(sums, sumsAt + columns + c);
            d.mul(FloatVector.fromArray(FLOATS, w, wAt + c))
                    .sub(normal.fma(meanProduct, meanDy))
                    .mul(scale)
                    .intoArray(to, toAt + c);
        }
        if (c < columns) {
            VectorMask<Float> rest = FLOATS.indexInRange(c, columns);
            FloatVector normal =
                    FloatVector.fromArray(FLOATS, x, at + c, rest).sub(mean).mul(scale);
            FloatVector d = FloatVector.fromArray(FLOATS, dy, dyAt + c, rest);
            d.fma(normal, FloatVector.fromArray(FLOATS, sums, sumsAt + c, rest)).intoArray(sums, sumsAt + c, rest);
            FloatVector.fromArray(FLOATS, sums, sumsAt + columns + c, rest)
                    .add(d)
                    .intoArray(sums, sumsAt + columns + c, rest);
            d.mul(FloatVector.fromArray(FLOATS, w, wAt + c, rest))
                    .sub(normal.fma(meanProduct, meanDy))
                    .mul(scale)
                    .intoArray(to, toAt + c, rest);
        }
    }

    @Override
    public void gelu(Tensor x, Tensor y, int from, int to) {
        PointwiseKernels.checkRange(from, to, x, y);
        VectorGelu.gelu(x.array(), x.offset() + from, y.array(), y.offset() + from, to - from);
        SCALAR.gelu(x, y, to - (to - from) % LANES, to);
    }

    @Override
    public void geluGradient(Tensor x, Tensor dy, Tensor dx, int from, int to) {
        PointwiseKernels.checkRange(from, to, x, dy, dx);
        VectorGelu.gradient(
                x.array(),
                x.offset() + from,
                dy.array(),
                dy.offset() + from,
                dx.array(),
                dx.offset() + from,
                to - from);
        SCALAR.geluGradient(x, dy, dx, to - (to - from) % LANES, to);
    }
}
