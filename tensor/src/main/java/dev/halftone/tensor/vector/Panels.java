// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * The one fp32 micro-kernel: {@code y[p][c] = init[p][c] + sum over row, j of x[p, row, j] * w[row, j, c]}, lanes over {@code c}.
 * Convolution, its weight gradient and the matrix products differ only in the strides.
 *
 * <p>Each value is one chain of fused multiply-adds in the order row, j, so it does not depend on which tile computes it.
 *
 * <p>What C2 wants, measured on one Zen 4 core with 512-bit vectors (ceiling of a bare FMA loop: 117.5 GFLOP/s at 3.67 GHz),
 * 3x3, 64 channels:
 *
 * <ul>
 *   <li>Accumulators must be local variables: C2 keeps no array of vectors in registers.
 *   <li>A tile of 4 rows by 4 vectors runs at 109, 4x3 at 108, 4x2 at 104, 4x1 at 78 (bound by broadcasts); 8x2 at 110, but 6x4
 *       between 50 and 103 and 12x2 at 71: C2 loads the broadcasts early, so a tile of PxV needs PV + P + V registers, or it
 *       spills. With the 16 registers of AVX2, 4x2 (75 of 117) is the best of 4x2, 6x2 (45), 4x3 (45), 8x2 (58), 4x4 (48).
 *   <li>One tile per call. With a loop over tiles around the accumulators, one JVM start in three compiled to code that allocates
 *       every vector (3 GFLOP/s); so did helper methods that branch on what to do with one finished sum.
 *   <li>No masks: columns that do not fill a last vector are covered by one that overlaps its neighbour and computes the same
 *       bits; fewer columns than lanes go through padded copies.
 * </ul>
 */
final class Panels {
    static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    static final int LANES = SPECIES.length();

    /** Rows of a tile. */
    private static final int TILE = 4;

    /** AVX-512, NEON and SVE have 32 vector registers, SSE and AVX2 have 16. */
    private static final int MAX_VECTORS =
            SPECIES.vectorBitSize() >= 512 || System.getProperty("os.arch", "").equals("aarch64") ? 4 : 2;

    final float[] x;
    final float[] w;
    final float[] y;
    /** Where accumulators start, {@code [p * initStep + c]}: a row of biases with step 0, or {@code y}. */
    final float[] init;

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
    /** Whether the finished sums are added to {@code y}. */
    boolean add;
    /** Whether negative sums are stored as 0; not together with {@code add}. */
    boolean relu;

    Panels(float[] x, float[] w, float[] y, float[] init) {
        this.x = x;
        this.w = w;
        this.y = y;
        this.init = init;
    }

    /** Computes {@code count} values of p and {@code columns} values of c. */
    void run(int count, int columns, int xAt, int wAt, int initAt, int yAt) {
        if (columns < LANES) {
            narrow(count, columns, xAt, wAt, initAt, yAt);
            return;
        }
        int vectors = Math.ceilDiv(columns, LANES);
        int groups = Math.ceilDiv(vectors, MAX_VECTORS);
        for (int g = 0; g < groups; g++) {
            // The last group is the widest, so where its last vector overlaps, it does so with one of the same tile:
            // with "add",
            // both are added to the old value before either is stored.
            int from = g * vectors / groups * LANES;
            int to = Math.min(columns, (g + 1) * vectors / groups * LANES);
            group(count, to - from, xAt, wAt + from, initAt + from, yAt + from);
        }
    }

    private void group(int count, int columns, int xAt, int wAt, int initAt, int yAt) {
        int vectors = Math.ceilDiv(columns, LANES);
        int last = columns - LANES;
        // Computing rows of the previous tile again is cheaper than single rows, unless sums start from or go on top of
        // y.
        boolean again = !add && initStep == 0 && count > TILE && count % TILE > 1;
        int p = 0;
        for (; count - p >= TILE || (again && p < count); p += TILE) {
            int at = Math.min(p, count - TILE);
            tile4(vectors, xAt + at * xStep, wAt, initAt + at * initStep, yAt + at * yStep, last);
        }
        for (; p < count; p++) {
            tile1(vectors, xAt + p * xStep, wAt, initAt + p * initStep, yAt + p * yStep, last);
        }
    }

    private void tile4(int vectors, int xAt, int wAt, int initAt, int yAt, int last) {
        switch (vectors) {
            case 1 -> tile4x1(this, xAt, wAt, initAt, yAt);
            case 2 -> tile4x2(this, xAt, wAt, initAt, yAt, last);
            case 3 -> tile4x3(this, xAt, wAt, initAt, yAt, last);
            default -> tile4x4(this, xAt, wAt, initAt, yAt, last);
        }
    }

    private void tile1(int vectors, int xAt, int wAt, int initAt, int yAt, int last) {
        switch (vectors) {
            case 1 -> tile1x1(this, xAt, wAt, initAt, yAt);
            case 2 -> tile1x2(this, xAt, wAt, initAt, yAt, last);
            case 3 -> tile1x3(this, xAt, wAt, initAt, yAt, last);
            default -> tile1x4(this, xAt, wAt, initAt, yAt, last);
        }
    }

    /** Fewer columns than lanes: {@code w}, {@code init} and {@code y} as copies that are one vector wide. */
    private void narrow(int count, int columns, int xAt, int wAt, int initAt, int yAt) {
        float[] wide = new float[rows * run * LANES];
        for (int row = 0, to = 0; row < rows; row++) {
            for (int j = 0; j < run; j++, to += LANES) {
                System.arraycopy(w, wAt + row * wRow + j * wStep, wide, to, columns);
            }
        }
        float[] sums = new float[count * LANES];
        for (int p = 0; p < count; p++) {
            System.arraycopy(init, initAt + p * initStep, sums, p * LANES, columns);
        }
        Panels panels = new Panels(x, wide, sums, sums);
        panels.initStep = LANES;
        panels.xStep = xStep;
        panels.xInner = xInner;
        panels.xRow = xRow;
        panels.wStep = LANES;
        panels.wRow = run * LANES;
        panels.yStep = LANES;
        panels.rows = rows;
        panels.run = run;
        panels.relu = relu;
        panels.group(count, LANES, xAt, 0, 0, 0);
        for (int p = 0; p < count; p++) {
            int to = yAt + p * yStep;
            if (add) {
                for (int c = 0; c < columns; c++) {
                    y[to + c] += sums[p * LANES + c];
                }
            } else {
                System.arraycopy(sums, p * LANES, y, to, columns);
            }
        }
    }

    private static void tile4x4(Panels k, int xAt, int wAt, int initAt, int yAt, int last) {
        float[] x = k.x;
        float[] w = k.w;
        float[] y = k.y;
        float[] init = k.init;
        int xInner = k.xInner;
        int wStep = k.wStep;
        int run = k.run;
        int xStep = k.xStep;
        int yStep = k.yStep;
        int initStep = k.initStep;
        FloatVector a00 = FloatVector.fromArray(SPECIES, init, initAt);
        FloatVector a01 = FloatVector.fromArray(SPECIES, init, initAt + LANES);
        FloatVector a02 = FloatVector.fromArray(SPECIES, init, initAt + 2 * LANES);
        FloatVector a03 = FloatVector.fromArray(SPECIES, init, initAt + last);
        FloatVector a10 = FloatVector.fromArray(SPECIES, init, initAt + initStep);
        FloatVector a11 = FloatVector.fromArray(SPECIES, init, initAt + initStep + LANES);
        FloatVector a12 = FloatVector.fromArray(SPECIES, init, initAt + initStep + 2 * LANES);
        FloatVector a13 = FloatVector.fromArray(SPECIES, init, initAt + initStep + last);
        FloatVector a20 = FloatVector.fromArray(SPECIES, init, initAt + 2 * initStep);
        FloatVector a21 = FloatVector.fromArray(SPECIES, init, initAt + 2 * initStep + LANES);
        FloatVector a22 = FloatVector.fromArray(SPECIES, init, initAt + 2 * initStep + 2 * LANES);
        FloatVector a23 = FloatVector.fromArray(SPECIES, init, initAt + 2 * initStep + last);
        FloatVector a30 = FloatVector.fromArray(SPECIES, init, initAt + 3 * initStep);
        FloatVector a31 = FloatVector.fromArray(SPECIES, init, initAt + 3 * initStep + LANES);
        FloatVector a32 = FloatVector.fromArray(SPECIES, init, initAt + 3 * initStep + 2 * LANES);
        FloatVector a33 = FloatVector.fromArray(SPECIES, init, initAt + 3 * initStep + last);
        for (int row = 0; row < k.rows; row++) {
            int xi = xAt + row * k.xRow;
            int wi = wAt + row * k.wRow;
            for (int j = 0; j < run; j++) {
                FloatVector w0 = FloatVector.fromArray(SPECIES, w, wi);
                FloatVector w1 = FloatVector.fromArray(SPECIES, w, wi + LANES);
                FloatVector w2 = FloatVector.fromArray(SPECIES, w, wi + 2 * LANES);
                FloatVector w3 = FloatVector.fromArray(SPECIES, w, wi + last);
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
                xi += xInner;
                wi += wStep;
            }
        }
        if (k.add) {
            a00 = FloatVector.fromArray(SPECIES, y, yAt).add(a00);
            a01 = FloatVector.fromArray(SPECIES, y, yAt + LANES).add(a01);
            a02 = FloatVector.fromArray(SPECIES, y, yAt + 2 * LANES).add(a02);
            a03 = FloatVector.fromArray(SPECIES, y, yAt + last).add(a03);
            a10 = FloatVector.fromArray(SPECIES, y, yAt + yStep).add(a10);
            a11 = FloatVector.fromArray(SPECIES, y, yAt + yStep + LANES).add(a11);
            a12 = FloatVector.fromArray(SPECIES, y, yAt + yStep + 2 * LANES).add(a12);
            a13 = FloatVector.fromArray(SPECIES, y, yAt + yStep + last).add(a13);
            a20 = FloatVector.fromArray(SPECIES, y, yAt + 2 * yStep).add(a20);
            a21 = FloatVector.fromArray(SPECIES, y, yAt + 2 * yStep + LANES).add(a21);
            a22 = FloatVector.fromArray(SPECIES, y, yAt + 2 * yStep + 2 * LANES).add(a22);
            a23 = FloatVector.fromArray(SPECIES, y, yAt + 2 * yStep + last).add(a23);
            a30 = FloatVector.fromArray(SPECIES, y, yAt + 3 * yStep).add(a30);
            a31 = FloatVector.fromArray(SPECIES, y, yAt + 3 * yStep + LANES).add(a31);
            a32 = FloatVector.fromArray(SPECIES, y, yAt + 3 * yStep + 2 * LANES).add(a32);
            a33 = FloatVector.fromArray(SPECIES, y, yAt + 3 * yStep + last).add(a33);
        }
        if (k.relu) {
            a00 = a00.max(0f);
            a01 = a01.max(0f);
            a02 = a02.max(0f);
            a03 = a03.max(0f);
            a10 = a10.max(0f);
            a11 = a11.max(0f);
            a12 = a12.max(0f);
            a13 = a13.max(0f);
            a20 = a20.max(0f);
            a21 = a21.max(0f);
            a22 = a22.max(0f);
            a23 = a23.max(0f);
            a30 = a30.max(0f);
            a31 = a31.max(0f);
            a32 = a32.max(0f);
            a33 = a33.max(0f);
        }
        a00.intoArray(y, yAt);
        a01.intoArray(y, yAt + LANES);
        a02.intoArray(y, yAt + 2 * LANES);
        a03.intoArray(y, yAt + last);
        a10.intoArray(y, yAt + yStep);
        a11.intoArray(y, yAt + yStep + LANES);
        a12.intoArray(y, yAt + yStep + 2 * LANES);
        a13.intoArray(y, yAt + yStep + last);
        a20.intoArray(y, yAt + 2 * yStep);
        a21.intoArray(y, yAt + 2 * yStep + LANES);
        a22.intoArray(y, yAt + 2 * yStep + 2 * LANES);
        a23.intoArray(y, yAt + 2 * yStep + last);
        a30.intoArray(y, yAt + 3 * yStep);
        a31.intoArray(y, yAt + 3 * yStep + LANES);
        a32.intoArray(y, yAt + 3 * yStep + 2 * LANES);
        a33.intoArray(y, yAt + 3 * yStep + last);
    }

    private static void tile4x3(Panels k, int xAt, int wAt, int initAt, int yAt, int last) {
        float[] x = k.x;
        float[] w = k.w;
        float[] y = k.y;
        float[] init = k.init;
        int xInner = k.xInner;
        int wStep = k.wStep;
        int run = k.run;
        int xStep = k.xStep;
        int yStep = k.yStep;
        int initStep = k.initStep;
        FloatVector a00 = FloatVector.fromArray(SPECIES, init, initAt);
        FloatVector a01 = FloatVector.fromArray(SPECIES, init, initAt + LANES);
        FloatVector a02 = FloatVector.fromArray(SPECIES, init, initAt + last);
        FloatVector a10 = FloatVector.fromArray(SPECIES, init, initAt + initStep);
        FloatVector a11 = FloatVector.fromArray(SPECIES, init, initAt + initStep + LANES);
        FloatVector a12 = FloatVector.fromArray(SPECIES, init, initAt + initStep + last);
        FloatVector a20 = FloatVector.fromArray(SPECIES, init, initAt + 2 * initStep);
        FloatVector a21 = FloatVector.fromArray(SPECIES, init, initAt + 2 * initStep + LANES);
        FloatVector a22 = FloatVector.fromArray(SPECIES, init, initAt + 2 * initStep + last);
        FloatVector a30 = FloatVector.fromArray(SPECIES, init, initAt + 3 * initStep);
        FloatVector a31 = FloatVector.fromArray(SPECIES, init, initAt + 3 * initStep + LANES);
        FloatVector a32 = FloatVector.fromArray(SPECIES, init, initAt + 3 * initStep + last);
        for (int row = 0; row < k.rows; row++) {
            int xi = xAt + row * k.xRow;
            int wi = wAt + row * k.wRow;
            for (int j = 0; j < run; j++) {
                FloatVector w0 = FloatVector.fromArray(SPECIES, w, wi);
                FloatVector w1 = FloatVector.fromArray(SPECIES, w, wi + LANES);
                FloatVector w2 = FloatVector.fromArray(SPECIES, w, wi + last);
                FloatVector b0 = FloatVector.broadcast(SPECIES, x[xi]);
                a00 = b0.fma(w0, a00);
                a01 = b0.fma(w1, a01);
                a02 = b0.fma(w2, a02);
                FloatVector b1 = FloatVector.broadcast(SPECIES, x[xi + xStep]);
                a10 = b1.fma(w0, a10);
                a11 = b1.fma(w1, a11);
                a12 = b1.fma(w2, a12);
                FloatVector b2 = FloatVector.broadcast(SPECIES, x[xi + 2 * xStep]);
                a20 = b2.fma(w0, a20);
                a21 = b2.fma(w1, a21);
                a22 = b2.fma(w2, a22);
                FloatVector b3 = FloatVector.broadcast(SPECIES, x[xi + 3 * xStep]);
                a30 = b3.fma(w0, a30);
                a31 = b3.fma(w1, a31);
                a32 = b3.fma(w2, a32);
                xi += xInner;
                wi += wStep;
            }
        }
        if (k.add) {
            a00 = FloatVector.fromArray(SPECIES, y, yAt).add(a00);
            a01 = FloatVector.fromArray(SPECIES, y, yAt + LANES).add(a01);
            a02 = FloatVector.fromArray(SPECIES, y, yAt + last).add(a02);
            a10 = FloatVector.fromArray(SPECIES, y, yAt + yStep).add(a10);
            a11 = FloatVector.fromArray(SPECIES, y, yAt + yStep + LANES).add(a11);
            a12 = FloatVector.fromArray(SPECIES, y, yAt + yStep + last).add(a12);
            a20 = FloatVector.fromArray(SPECIES, y, yAt + 2 * yStep).add(a20);
            a21 = FloatVector.fromArray(SPECIES, y, yAt + 2 * yStep + LANES).add(a21);
            a22 = FloatVector.fromArray(SPECIES, y, yAt + 2 * yStep + last).add(a22);
            a30 = FloatVector.fromArray(SPECIES, y, yAt + 3 * yStep).add(a30);
            a31 = FloatVector.fromArray(SPECIES, y, yAt + 3 * yStep + LANES).add(a31);
            a32 = FloatVector.fromArray(SPECIES, y, yAt + 3 * yStep + last).add(a32);
        }
        if (k.relu) {
            a00 = a00.max(0f);
            a01 = a01.max(0f);
            a02 = a02.max(0f);
            a10 = a10.max(0f);
            a11 = a11.max(0f);
            a12 = a12.max(0f);
            a20 = a20.max(0f);
            a21 = a21.max(0f);
            a22 = a22.max(0f);
            a30 = a30.max(0f);
            a31 = a31.max(0f);
            a32 = a32.max(0f);
        }
        a00.intoArray(y, yAt);
        a01.intoArray(y, yAt + LANES);
        a02.intoArray(y, yAt + last);
        a10.intoArray(y, yAt + yStep);
        a11.intoArray(y, yAt + yStep + LANES);
        a12.intoArray(y, yAt + yStep + last);
        a20.intoArray(y, yAt + 2 * yStep);
        a21.intoArray(y, yAt + 2 * yStep + LANES);
        a22.intoArray(y, yAt + 2 * yStep + last);
        a30.intoArray(y, yAt + 3 * yStep);
        a31.intoArray(y, yAt + 3 * yStep + LANES);
        a32.intoArray(y, yAt + 3 * yStep + last);
    }

    private static void tile4x2(Panels k, int xAt, int wAt, int initAt, int yAt, int last) {
        float[] x = k.x;
        float[] w = k.w;
        float[] y = k.y;
        float[] init = k.init;
        int xInner = k.xInner;
        int wStep = k.wStep;
        int run = k.run;
        int xStep = k.xStep;
        int yStep = k.yStep;
        int initStep = k.initStep;
        FloatVector a00 = FloatVector.fromArray(SPECIES, init, initAt);
        FloatVector a01 = FloatVector.fromArray(SPECIES, init, initAt + last);
        FloatVector a10 = FloatVector.fromArray(SPECIES, init, initAt + initStep);
        FloatVector a11 = FloatVector.fromArray(SPECIES, init, initAt + initStep + last);
        FloatVector a20 = FloatVector.fromArray(SPECIES, init, initAt + 2 * initStep);
        FloatVector a21 = FloatVector.fromArray(SPECIES, init, initAt + 2 * initStep + last);
        FloatVector a30 = FloatVector.fromArray(SPECIES, init, initAt + 3 * initStep);
        FloatVector a31 = FloatVector.fromArray(SPECIES, init, initAt + 3 * initStep + last);
        for (int row = 0; row < k.rows; row++) {
            int xi = xAt + row * k.xRow;
            int wi = wAt + row * k.wRow;
            for (int j = 0; j < run; j++) {
                FloatVector w0 = FloatVector.fromArray(SPECIES, w, wi);
                FloatVector w1 = FloatVector.fromArray(SPECIES, w, wi + last);
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
                xi += xInner;
                wi += wStep;
            }
        }
        if (k.add) {
            a00 = FloatVector.fromArray(SPECIES, y, yAt).add(a00);
            a01 = FloatVector.fromArray(SPECIES, y, yAt + last).add(a01);
            a10 = FloatVector.fromArray(SPECIES, y, yAt + yStep).add(a10);
            a11 = FloatVector.fromArray(SPECIES, y, yAt + yStep + last).add(a11);
            a20 = FloatVector.fromArray(SPECIES, y, yAt + 2 * yStep).add(a20);
            a21 = FloatVector.fromArray(SPECIES, y, yAt + 2 * yStep + last).add(a21);
            a30 = FloatVector.fromArray(SPECIES, y, yAt + 3 * yStep).add(a30);
            a31 = FloatVector.fromArray(SPECIES, y, yAt + 3 * yStep + last).add(a31);
        }
        if (k.relu) {
            a00 = a00.max(0f);
            a01 = a01.max(0f);
            a10 = a10.max(0f);
            a11 = a11.max(0f);
            a20 = a20.max(0f);
            a21 = a21.max(0f);
            a30 = a30.max(0f);
            a31 = a31.max(0f);
        }
        a00.intoArray(y, yAt);
        a01.intoArray(y, yAt + last);
        a10.intoArray(y, yAt + yStep);
        a11.intoArray(y, yAt + yStep + last);
        a20.intoArray(y, yAt + 2 * yStep);
        a21.intoArray(y, yAt + 2 * yStep + last);
        a30.intoArray(y, yAt + 3 * yStep);
        a31.intoArray(y, yAt + 3 * yStep + last);
    }

    private static void tile4x1(Panels k, int xAt, int wAt, int initAt, int yAt) {
        float[] x = k.x;
        float[] w = k.w;
        float[] y = k.y;
        float[] init = k.init;
        int xInner = k.xInner;
        int wStep = k.wStep;
        int run = k.run;
        int xStep = k.xStep;
        int yStep = k.yStep;
        int initStep = k.initStep;
        FloatVector a00 = FloatVector.fromArray(SPECIES, init, initAt);
        FloatVector a10 = FloatVector.fromArray(SPECIES, init, initAt + initStep);
        FloatVector a20 = FloatVector.fromArray(SPECIES, init, initAt + 2 * initStep);
        FloatVector a30 = FloatVector.fromArray(SPECIES, init, initAt + 3 * initStep);
        for (int row = 0; row < k.rows; row++) {
            int xi = xAt + row * k.xRow;
            int wi = wAt + row * k.wRow;
            for (int j = 0; j < run; j++) {
                FloatVector w0 = FloatVector.fromArray(SPECIES, w, wi);
                FloatVector b0 = FloatVector.broadcast(SPECIES, x[xi]);
                a00 = b0.fma(w0, a00);
                FloatVector b1 = FloatVector.broadcast(SPECIES, x[xi + xStep]);
                a10 = b1.fma(w0, a10);
                FloatVector b2 = FloatVector.broadcast(SPECIES, x[xi + 2 * xStep]);
                a20 = b2.fma(w0, a20);
                FloatVector b3 = FloatVector.broadcast(SPECIES, x[xi + 3 * xStep]);
                a30 = b3.fma(w0, a30);
                xi += xInner;
                wi += wStep;
            }
        }
        if (k.add) {
            a00 = FloatVector.fromArray(SPECIES, y, yAt).add(a00);
            a10 = FloatVector.fromArray(SPECIES, y, yAt + yStep).add(a10);
            a20 = FloatVector.fromArray(SPECIES, y, yAt + 2 * yStep).add(a20);
            a30 = FloatVector.fromArray(SPECIES, y, yAt + 3 * yStep).add(a30);
        }
        if (k.relu) {
            a00 = a00.max(0f);
            a10 = a10.max(0f);
            a20 = a20.max(0f);
            a30 = a30.max(0f);
        }
        a00.intoArray(y, yAt);
        a10.intoArray(y, yAt + yStep);
        a20.intoArray(y, yAt + 2 * yStep);
        a30.intoArray(y, yAt + 3 * yStep);
    }

    private static void tile1x4(Panels k, int xAt, int wAt, int initAt, int yAt, int last) {
        float[] x = k.x;
        float[] w = k.w;
        float[] y = k.y;
        float[] init = k.init;
        int xInner = k.xInner;
        int wStep = k.wStep;
        int run = k.run;
        FloatVector a00 = FloatVector.fromArray(SPECIES, init, initAt);
        FloatVector a01 = FloatVector.fromArray(SPECIES, init, initAt + LANES);
        FloatVector a02 = FloatVector.fromArray(SPECIES, init, initAt + 2 * LANES);
        FloatVector a03 = FloatVector.fromArray(SPECIES, init, initAt + last);
        for (int row = 0; row < k.rows; row++) {
            int xi = xAt + row * k.xRow;
            int wi = wAt + row * k.wRow;
            for (int j = 0; j < run; j++) {
                FloatVector w0 = FloatVector.fromArray(SPECIES, w, wi);
                FloatVector w1 = FloatVector.fromArray(SPECIES, w, wi + LANES);
                FloatVector w2 = FloatVector.fromArray(SPECIES, w, wi + 2 * LANES);
                FloatVector w3 = FloatVector.fromArray(SPECIES, w, wi + last);
                FloatVector b0 = FloatVector.broadcast(SPECIES, x[xi]);
                a00 = b0.fma(w0, a00);
                a01 = b0.fma(w1, a01);
                a02 = b0.fma(w2, a02);
                a03 = b0.fma(w3, a03);
                xi += xInner;
                wi += wStep;
            }
        }
        if (k.add) {
            a00 = FloatVector.fromArray(SPECIES, y, yAt).add(a00);
            a01 = FloatVector.fromArray(SPECIES, y, yAt + LANES).add(a01);
            a02 = FloatVector.fromArray(SPECIES, y, yAt + 2 * LANES).add(a02);
            a03 = FloatVector.fromArray(SPECIES, y, yAt + last).add(a03);
        }
        if (k.relu) {
            a00 = a00.max(0f);
            a01 = a01.max(0f);
            a02 = a02.max(0f);
            a03 = a03.max(0f);
        }
        a00.intoArray(y, yAt);
        a01.intoArray(y, yAt + LANES);
        a02.intoArray(y, yAt + 2 * LANES);
        a03.intoArray(y, yAt + last);
    }

    private static void tile1x3(Panels k, int xAt, int wAt, int initAt, int yAt, int last) {
        float[] x = k.x;
        float[] w = k.w;
        float[] y = k.y;
        float[] init = k.init;
        int xInner = k.xInner;
        int wStep = k.wStep;
        int run = k.run;
        FloatVector a00 = FloatVector.fromArray(SPECIES, init, initAt);
        FloatVector a01 = FloatVector.fromArray(SPECIES, init, initAt + LANES);
        FloatVector a02 = FloatVector.fromArray(SPECIES, init, initAt + last);
        for (int row = 0; row < k.rows; row++) {
            int xi = xAt + row * k.xRow;
            int wi = wAt + row * k.wRow;
            for (int j = 0; j < run; j++) {
                FloatVector w0 = FloatVector.fromArray(SPECIES, w, wi);
                FloatVector w1 = FloatVector.fromArray(SPECIES, w, wi + LANES);
                FloatVector w2 = FloatVector.fromArray(SPECIES, w, wi + last);
                FloatVector b0 = FloatVector.broadcast(SPECIES, x[xi]);
                a00 = b0.fma(w0, a00);
                a01 = b0.fma(w1, a01);
                a02 = b0.fma(w2, a02);
                xi += xInner;
                wi += wStep;
            }
        }
        if (k.add) {
            a00 = FloatVector.fromArray(SPECIES, y, yAt).add(a00);
            a01 = FloatVector.fromArray(SPECIES, y, yAt + LANES).add(a01);
            a02 = FloatVector.fromArray(SPECIES, y, yAt + last).add(a02);
        }
        if (k.relu) {
            a00 = a00.max(0f);
            a01 = a01.max(0f);
            a02 = a02.max(0f);
        }
        a00.intoArray(y, yAt);
        a01.intoArray(y, yAt + LANES);
        a02.intoArray(y, yAt + last);
    }

    private static void tile1x2(Panels k, int xAt, int wAt, int initAt, int yAt, int last) {
        float[] x = k.x;
        float[] w = k.w;
        float[] y = k.y;
        float[] init = k.init;
        int xInner = k.xInner;
        int wStep = k.wStep;
        int run = k.run;
        FloatVector a00 = FloatVector.fromArray(SPECIES, init, initAt);
        FloatVector a01 = FloatVector.fromArray(SPECIES, init, initAt + last);
        for (int row = 0; row < k.rows; row++) {
            int xi = xAt + row * k.xRow;
            int wi = wAt + row * k.wRow;
            for (int j = 0; j < run; j++) {
                FloatVector w0 = FloatVector.fromArray(SPECIES, w, wi);
                FloatVector w1 = FloatVector.fromArray(SPECIES, w, wi + last);
                FloatVector b0 = FloatVector.broadcast(SPECIES, x[xi]);
                a00 = b0.fma(w0, a00);
                a01 = b0.fma(w1, a01);
                xi += xInner;
                wi += wStep;
            }
        }
        if (k.add) {
            a00 = FloatVector.fromArray(SPECIES, y, yAt).add(a00);
            a01 = FloatVector.fromArray(SPECIES, y, yAt + last).add(a01);
        }
        if (k.relu) {
            a00 = a00.max(0f);
            a01 = a01.max(0f);
        }
        a00.intoArray(y, yAt);
        a01.intoArray(y, yAt + last);
    }

    private static void tile1x1(Panels k, int xAt, int wAt, int initAt, int yAt) {
        float[] x = k.x;
        float[] w = k.w;
        float[] y = k.y;
        float[] init = k.init;
        int xInner = k.xInner;
        int wStep = k.wStep;
        int run = k.run;
        FloatVector a00 = FloatVector.fromArray(SPECIES, init, initAt);
        for (int row = 0; row < k.rows; row++) {
            int xi = xAt + row * k.xRow;
            int wi = wAt + row * k.wRow;
            for (int j = 0; j < run; j++) {
                FloatVector w0 = FloatVector.fromArray(SPECIES, w, wi);
                FloatVector b0 = FloatVector.broadcast(SPECIES, x[xi]);
                a00 = b0.fma(w0, a00);
                xi += xInner;
                wi += wStep;
            }
        }
        if (k.add) {
            a00 = FloatVector.fromArray(SPECIES, y, yAt).add(a00);
        }
        if (k.relu) {
            a00 = a00.max(0f);
        }
        a00.intoArray(y, yAt);
    }
}
