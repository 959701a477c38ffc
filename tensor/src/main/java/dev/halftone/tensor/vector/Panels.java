// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * The one fp32 micro-kernel: {@code acc[p][c] = init[p][c] + sum over row, j of x[p, row, j] * w[row, j, c]}, lanes over {@code c}.
 * Convolution, its weight gradient and the matrix products differ only in the strides.
 *
 * <p>Each value is one chain of fused multiply-adds in the order row, j, so it does not depend on which tile computes it.
 *
 * <p>A tile is 6 rows by 4 vectors where there are 32 vector registers (24 accumulators, 4 weights, 1 broadcast), 6 by 2 where there
 * are 16. Accumulators must be local variables: C2 keeps no array of vectors in registers.
 */
final class Panels {
    /** What happens to the finished sums. */
    enum Finish {
        /** Stored. */
        STORE,
        /** Stored, negative ones as 0. */
        RELU,
        /** Added to what is there. */
        ADD
    }

    static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    static final int LANES = SPECIES.length();
    /** AVX-512 and SVE have 32 vector registers, AVX2 has 16. */
    private static final boolean WIDE = SPECIES.vectorBitSize() >= 512;

    private static final int TILE = 6;

    final float[] x;
    final float[] w;
    final float[] y;
    /** Where accumulators start, {@code [p * initStep + c]}. */
    float[] init;

    int initStep;
    /** Distance in {@code x} of two p, of two j, and of two rows. */
    int xStep;

    int xInner;
    int xRow;
    /** Distance in {@code w} of two j and of two rows. */
    int wStep;

    int wRow;
    /** Distance in {@code y} of two p. */
    int yStep;

    int rows;
    int run;
    Finish finish = Finish.STORE;

    Panels(float[] x, float[] w, float[] y, float[] init) {
        this.x = x;
        this.w = w;
        this.y = y;
        this.init = init;
    }

    /** Computes {@code count} values of p and {@code columns} values of c. */
    void run(int count, int columns, int xAt, int wAt, int initAt, int yAt) {
        int c = 0;
        for (; WIDE && columns - c >= 4 * LANES; c += 4 * LANES) {
            int p = 0;
            for (; count - p >= TILE; p += TILE) {
                tile6x4(this, xAt + p * xStep, wAt + c, initAt + p * initStep + c, yAt + p * yStep + c);
            }
            for (; p < count; p++) {
                tile1x4(this, xAt + p * xStep, wAt + c, initAt + p * initStep + c, yAt + p * yStep + c);
            }
        }
        for (; columns - c >= 2 * LANES; c += 2 * LANES) {
            int p = 0;
            for (; count - p >= TILE; p += TILE) {
                tile6x2(this, xAt + p * xStep, wAt + c, initAt + p * initStep + c, yAt + p * yStep + c);
            }
            for (; p < count; p++) {
                tile1x2(this, xAt + p * xStep, wAt + c, initAt + p * initStep + c, yAt + p * yStep + c);
            }
        }
        for (; c < columns; c += LANES) {
            VectorMask<Float> mask = SPECIES.indexInRange(c, columns);
            int p = 0;
            for (; count - p >= TILE; p += TILE) {
                tile6x1Masked(mask, this, xAt + p * xStep, wAt + c, initAt + p * initStep + c, yAt + p * yStep + c);
            }
            for (; p < count; p++) {
                tile1x1Masked(mask, this, xAt + p * xStep, wAt + c, initAt + p * initStep + c, yAt + p * yStep + c);
            }
        }
    }

    private void finish(FloatVector sum, int at) {
        if (finish == Finish.STORE) {
            sum.intoArray(y, at);
        } else if (finish == Finish.RELU) {
            sum.lanewise(VectorOperators.MAX, 0f).intoArray(y, at);
        } else {
            FloatVector.fromArray(SPECIES, y, at).add(sum).intoArray(y, at);
        }
    }

    private void finish(FloatVector sum, int at, VectorMask<Float> mask) {
        if (finish == Finish.STORE) {
            sum.intoArray(y, at, mask);
        } else if (finish == Finish.RELU) {
            sum.lanewise(VectorOperators.MAX, 0f).intoArray(y, at, mask);
        } else {
            FloatVector.fromArray(SPECIES, y, at, mask).add(sum).intoArray(y, at, mask);
        }
    }

    private static void tile6x4(Panels k, int xAt, int wAt, int initAt, int yAt) {
        float[] x = k.x;
        float[] w = k.w;
        float[] init = k.init;
        int xStep = k.xStep;
        int xInner = k.xInner;
        int wStep = k.wStep;
        int run = k.run;
        FloatVector a00 = FloatVector.fromArray(SPECIES, init, initAt);
        FloatVector a01 = FloatVector.fromArray(SPECIES, init, initAt + LANES);
        FloatVector a02 = FloatVector.fromArray(SPECIES, init, initAt + 2 * LANES);
        FloatVector a03 = FloatVector.fromArray(SPECIES, init, initAt + 3 * LANES);
        FloatVector a10 = FloatVector.fromArray(SPECIES, init, initAt + k.initStep);
        FloatVector a11 = FloatVector.fromArray(SPECIES, init, initAt + k.initStep + LANES);
        FloatVector a12 = FloatVector.fromArray(SPECIES, init, initAt + k.initStep + 2 * LANES);
        FloatVector a13 = FloatVector.fromArray(SPECIES, init, initAt + k.initStep + 3 * LANES);
        FloatVector a20 = FloatVector.fromArray(SPECIES, init, initAt + 2 * k.initStep);
        FloatVector a21 = FloatVector.fromArray(SPECIES, init, initAt + 2 * k.initStep + LANES);
        FloatVector a22 = FloatVector.fromArray(SPECIES, init, initAt + 2 * k.initStep + 2 * LANES);
        FloatVector a23 = FloatVector.fromArray(SPECIES, init, initAt + 2 * k.initStep + 3 * LANES);
        FloatVector a30 = FloatVector.fromArray(SPECIES, init, initAt + 3 * k.initStep);
        FloatVector a31 = FloatVector.fromArray(SPECIES, init, initAt + 3 * k.initStep + LANES);
        FloatVector a32 = FloatVector.fromArray(SPECIES, init, initAt + 3 * k.initStep + 2 * LANES);
        FloatVector a33 = FloatVector.fromArray(SPECIES, init, initAt + 3 * k.initStep + 3 * LANES);
        FloatVector a40 = FloatVector.fromArray(SPECIES, init, initAt + 4 * k.initStep);
        FloatVector a41 = FloatVector.fromArray(SPECIES, init, initAt + 4 * k.initStep + LANES);
        FloatVector a42 = FloatVector.fromArray(SPECIES, init, initAt + 4 * k.initStep + 2 * LANES);
        FloatVector a43 = FloatVector.fromArray(SPECIES, init, initAt + 4 * k.initStep + 3 * LANES);
        FloatVector a50 = FloatVector.fromArray(SPECIES, init, initAt + 5 * k.initStep);
        FloatVector a51 = FloatVector.fromArray(SPECIES, init, initAt + 5 * k.initStep + LANES);
        FloatVector a52 = FloatVector.fromArray(SPECIES, init, initAt + 5 * k.initStep + 2 * LANES);
        FloatVector a53 = FloatVector.fromArray(SPECIES, init, initAt + 5 * k.initStep + 3 * LANES);
        for (int row = 0; row < k.rows; row++) {
            int xi = xAt + row * k.xRow;
            int wi = wAt + row * k.wRow;
            for (int j = 0; j < run; j++) {
                FloatVector w0 = FloatVector.fromArray(SPECIES, w, wi);
                FloatVector w1 = FloatVector.fromArray(SPECIES, w, wi + LANES);
                FloatVector w2 = FloatVector.fromArray(SPECIES, w, wi + 2 * LANES);
                FloatVector w3 = FloatVector.fromArray(SPECIES, w, wi + 3 * LANES);
                FloatVector b0 = FloatVector.broadcast(SPECIES, x[xi]);
                a00 = b0.fma(w0, a00);
                a01 = b0.fma(w1, a01);
                a02 = b0.fma(w2, a02);
                a03 = b0.fma(w3, a03);
                FloatVector b1 = FloatVector.broadcast(SPECIES, x[xi + xStep]);
                a10 = b1.fma(w0, a10);
                a11 = b1.fma(w1, a11);
                a12 = b1.fma(w2, a12);
                a13 = b1.fma(w3, a13);
                FloatVector b2 = FloatVector.broadcast(SPECIES, x[xi + 2 * xStep]);
                a20 = b2.fma(w0, a20);
                a21 = b2.fma(w1, a21);
                a22 = b2.fma(w2, a22);
                a23 = b2.fma(w3, a23);
                FloatVector b3 = FloatVector.broadcast(SPECIES, x[xi + 3 * xStep]);
                a30 = b3.fma(w0, a30);
                a31 = b3.fma(w1, a31);
                a32 = b3.fma(w2, a32);
                a33 = b3.fma(w3, a33);
                FloatVector b4 = FloatVector.broadcast(SPECIES, x[xi + 4 * xStep]);
                a40 = b4.fma(w0, a40);
                a41 = b4.fma(w1, a41);
                a42 = b4.fma(w2, a42);
                a43 = b4.fma(w3, a43);
                FloatVector b5 = FloatVector.broadcast(SPECIES, x[xi + 5 * xStep]);
                a50 = b5.fma(w0, a50);
                a51 = b5.fma(w1, a51);
                a52 = b5.fma(w2, a52);
                a53 = b5.fma(w3, a53);
                xi += xInner;
                wi += wStep;
            }
        }
        k.finish(a00, yAt);
        k.finish(a01, yAt + LANES);
        k.finish(a02, yAt + 2 * LANES);
        k.finish(a03, yAt + 3 * LANES);
        k.finish(a10, yAt + k.yStep);
        k.finish(a11, yAt + k.yStep + LANES);
        k.finish(a12, yAt + k.yStep + 2 * LANES);
        k.finish(a13, yAt + k.yStep + 3 * LANES);
        k.finish(a20, yAt + 2 * k.yStep);
        k.finish(a21, yAt + 2 * k.yStep + LANES);
        k.finish(a22, yAt + 2 * k.yStep + 2 * LANES);
        k.finish(a23, yAt + 2 * k.yStep + 3 * LANES);
        k.finish(a30, yAt + 3 * k.yStep);
        k.finish(a31, yAt + 3 * k.yStep + LANES);
        k.finish(a32, yAt + 3 * k.yStep + 2 * LANES);
        k.finish(a33, yAt + 3 * k.yStep + 3 * LANES);
        k.finish(a40, yAt + 4 * k.yStep);
        k.finish(a41, yAt + 4 * k.yStep + LANES);
        k.finish(a42, yAt + 4 * k.yStep + 2 * LANES);
        k.finish(a43, yAt + 4 * k.yStep + 3 * LANES);
        k.finish(a50, yAt + 5 * k.yStep);
        k.finish(a51, yAt + 5 * k.yStep + LANES);
        k.finish(a52, yAt + 5 * k.yStep + 2 * LANES);
        k.finish(a53, yAt + 5 * k.yStep + 3 * LANES);
    }

    private static void tile1x4(Panels k, int xAt, int wAt, int initAt, int yAt) {
        float[] x = k.x;
        float[] w = k.w;
        float[] init = k.init;
        int xInner = k.xInner;
        int wStep = k.wStep;
        int run = k.run;
        FloatVector a00 = FloatVector.fromArray(SPECIES, init, initAt);
        FloatVector a01 = FloatVector.fromArray(SPECIES, init, initAt + LANES);
        FloatVector a02 = FloatVector.fromArray(SPECIES, init, initAt + 2 * LANES);
        FloatVector a03 = FloatVector.fromArray(SPECIES, init, initAt + 3 * LANES);
        for (int row = 0; row < k.rows; row++) {
            int xi = xAt + row * k.xRow;
            int wi = wAt + row * k.wRow;
            for (int j = 0; j < run; j++) {
                FloatVector w0 = FloatVector.fromArray(SPECIES, w, wi);
                FloatVector w1 = FloatVector.fromArray(SPECIES, w, wi + LANES);
                FloatVector w2 = FloatVector.fromArray(SPECIES, w, wi + 2 * LANES);
                FloatVector w3 = FloatVector.fromArray(SPECIES, w, wi + 3 * LANES);
                FloatVector b0 = FloatVector.broadcast(SPECIES, x[xi]);
                a00 = b0.fma(w0, a00);
                a01 = b0.fma(w1, a01);
                a02 = b0.fma(w2, a02);
                a03 = b0.fma(w3, a03);
                xi += xInner;
                wi += wStep;
            }
        }
        k.finish(a00, yAt);
        k.finish(a01, yAt + LANES);
        k.finish(a02, yAt + 2 * LANES);
        k.finish(a03, yAt + 3 * LANES);
    }

    private static void tile6x2(Panels k, int xAt, int wAt, int initAt, int yAt) {
        float[] x = k.x;
        float[] w = k.w;
        float[] init = k.init;
        int xStep = k.xStep;
        int xInner = k.xInner;
        int wStep = k.wStep;
        int run = k.run;
        FloatVector a00 = FloatVector.fromArray(SPECIES, init, initAt);
        FloatVector a01 = FloatVector.fromArray(SPECIES, init, initAt + LANES);
        FloatVector a10 = FloatVector.fromArray(SPECIES, init, initAt + k.initStep);
        FloatVector a11 = FloatVector.fromArray(SPECIES, init, initAt + k.initStep + LANES);
        FloatVector a20 = FloatVector.fromArray(SPECIES, init, initAt + 2 * k.initStep);
        FloatVector a21 = FloatVector.fromArray(SPECIES, init, initAt + 2 * k.initStep + LANES);
        FloatVector a30 = FloatVector.fromArray(SPECIES, init, initAt + 3 * k.initStep);
        FloatVector a31 = FloatVector.fromArray(SPECIES, init, initAt + 3 * k.initStep + LANES);
        FloatVector a40 = FloatVector.fromArray(SPECIES, init, initAt + 4 * k.initStep);
        FloatVector a41 = FloatVector.fromArray(SPECIES, init, initAt + 4 * k.initStep + LANES);
        FloatVector a50 = FloatVector.fromArray(SPECIES, init, initAt + 5 * k.initStep);
        FloatVector a51 = FloatVector.fromArray(SPECIES, init, initAt + 5 * k.initStep + LANES);
        for (int row = 0; row < k.rows; row++) {
            int xi = xAt + row * k.xRow;
            int wi = wAt + row * k.wRow;
            for (int j = 0; j < run; j++) {
                FloatVector w0 = FloatVector.fromArray(SPECIES, w, wi);
                FloatVector w1 = FloatVector.fromArray(SPECIES, w, wi + LANES);
                FloatVector b0 = FloatVector.broadcast(SPECIES, x[xi]);
                a00 = b0.fma(w0, a00);
                a01 = b0.fma(w1, a01);
                FloatVector b1 = FloatVector.broadcast(SPECIES, x[xi + xStep]);
                a10 = b1.fma(w0, a10);
                a11 = b1.fma(w1, a11);
                FloatVector b2 = FloatVector.broadcast(SPECIES, x[xi + 2 * xStep]);
                a20 = b2.fma(w0, a20);
                a21 = b2.fma(w1, a21);
                FloatVector b3 = FloatVector.broadcast(SPECIES, x[xi + 3 * xStep]);
                a30 = b3.fma(w0, a30);
                a31 = b3.fma(w1, a31);
                FloatVector b4 = FloatVector.broadcast(SPECIES, x[xi + 4 * xStep]);
                a40 = b4.fma(w0, a40);
                a41 = b4.fma(w1, a41);
                FloatVector b5 = FloatVector.broadcast(SPECIES, x[xi + 5 * xStep]);
                a50 = b5.fma(w0, a50);
                a51 = b5.fma(w1, a51);
                xi += xInner;
                wi += wStep;
            }
        }
        k.finish(a00, yAt);
        k.finish(a01, yAt + LANES);
        k.finish(a10, yAt + k.yStep);
        k.finish(a11, yAt + k.yStep + LANES);
        k.finish(a20, yAt + 2 * k.yStep);
        k.finish(a21, yAt + 2 * k.yStep + LANES);
        k.finish(a30, yAt + 3 * k.yStep);
        k.finish(a31, yAt + 3 * k.yStep + LANES);
        k.finish(a40, yAt + 4 * k.yStep);
        k.finish(a41, yAt + 4 * k.yStep + LANES);
        k.finish(a50, yAt + 5 * k.yStep);
        k.finish(a51, yAt + 5 * k.yStep + LANES);
    }

    private static void tile1x2(Panels k, int xAt, int wAt, int initAt, int yAt) {
        float[] x = k.x;
        float[] w = k.w;
        float[] init = k.init;
        int xInner = k.xInner;
        int wStep = k.wStep;
        int run = k.run;
        FloatVector a00 = FloatVector.fromArray(SPECIES, init, initAt);
        FloatVector a01 = FloatVector.fromArray(SPECIES, init, initAt + LANES);
        for (int row = 0; row < k.rows; row++) {
            int xi = xAt + row * k.xRow;
            int wi = wAt + row * k.wRow;
            for (int j = 0; j < run; j++) {
                FloatVector w0 = FloatVector.fromArray(SPECIES, w, wi);
                FloatVector w1 = FloatVector.fromArray(SPECIES, w, wi + LANES);
                FloatVector b0 = FloatVector.broadcast(SPECIES, x[xi]);
                a00 = b0.fma(w0, a00);
                a01 = b0.fma(w1, a01);
                xi += xInner;
                wi += wStep;
            }
        }
        k.finish(a00, yAt);
        k.finish(a01, yAt + LANES);
    }

    private static void tile6x1Masked(VectorMask<Float> mask, Panels k, int xAt, int wAt, int initAt, int yAt) {
        float[] x = k.x;
        float[] w = k.w;
        float[] init = k.init;
        int xStep = k.xStep;
        int xInner = k.xInner;
        int wStep = k.wStep;
        int run = k.run;
        FloatVector a00 = FloatVector.fromArray(SPECIES, init, initAt, mask);
        FloatVector a10 = FloatVector.fromArray(SPECIES, init, initAt + k.initStep, mask);
        FloatVector a20 = FloatVector.fromArray(SPECIES, init, initAt + 2 * k.initStep, mask);
        FloatVector a30 = FloatVector.fromArray(SPECIES, init, initAt + 3 * k.initStep, mask);
        FloatVector a40 = FloatVector.fromArray(SPECIES, init, initAt + 4 * k.initStep, mask);
        FloatVector a50 = FloatVector.fromArray(SPECIES, init, initAt + 5 * k.initStep, mask);
        for (int row = 0; row < k.rows; row++) {
            int xi = xAt + row * k.xRow;
            int wi = wAt + row * k.wRow;
            for (int j = 0; j < run; j++) {
                FloatVector w0 = FloatVector.fromArray(SPECIES, w, wi, mask);
                FloatVector b0 = FloatVector.broadcast(SPECIES, x[xi]);
                a00 = b0.fma(w0, a00);
                FloatVector b1 = FloatVector.broadcast(SPECIES, x[xi + xStep]);
                a10 = b1.fma(w0, a10);
                FloatVector b2 = FloatVector.broadcast(SPECIES, x[xi + 2 * xStep]);
                a20 = b2.fma(w0, a20);
                FloatVector b3 = FloatVector.broadcast(SPECIES, x[xi + 3 * xStep]);
                a30 = b3.fma(w0, a30);
                FloatVector b4 = FloatVector.broadcast(SPECIES, x[xi + 4 * xStep]);
                a40 = b4.fma(w0, a40);
                FloatVector b5 = FloatVector.broadcast(SPECIES, x[xi + 5 * xStep]);
                a50 = b5.fma(w0, a50);
                xi += xInner;
                wi += wStep;
            }
        }
        k.finish(a00, yAt, mask);
        k.finish(a10, yAt + k.yStep, mask);
        k.finish(a20, yAt + 2 * k.yStep, mask);
        k.finish(a30, yAt + 3 * k.yStep, mask);
        k.finish(a40, yAt + 4 * k.yStep, mask);
        k.finish(a50, yAt + 5 * k.yStep, mask);
    }

    private static void tile1x1Masked(VectorMask<Float> mask, Panels k, int xAt, int wAt, int initAt, int yAt) {
        float[] x = k.x;
        float[] w = k.w;
        float[] init = k.init;
        int xInner = k.xInner;
        int wStep = k.wStep;
        int run = k.run;
        FloatVector a00 = FloatVector.fromArray(SPECIES, init, initAt, mask);
        for (int row = 0; row < k.rows; row++) {
            int xi = xAt + row * k.xRow;
            int wi = wAt + row * k.wRow;
            for (int j = 0; j < run; j++) {
                FloatVector w0 = FloatVector.fromArray(SPECIES, w, wi, mask);
                FloatVector b0 = FloatVector.broadcast(SPECIES, x[xi]);
                a00 = b0.fma(w0, a00);
                xi += xInner;
                wi += wStep;
            }
        }
        k.finish(a00, yAt, mask);
    }
}
