// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.ActivationCodes;
import dev.halftone.tensor.kernels.ConvAffine;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * What both kinds of packed convolution share: feature maps of codes with a border of zero codes, which add nothing to a sum of
 * code products, the sums of the codes of each pixel, and the affine end.
 */
final class CodePlanes {
    /** A zero-bordered feature map of codes. */
    static final class Codes implements ActivationCodes {
        private final Shape shape;
        private final int padding;
        final int paddedWidth;
        final int paddedHeight;
        /** Codes as floats, {@code [batch, paddedHeight, paddedWidth, channels]}; empty in the table form. */
        final float[] values;
        /** Table offsets of channel groups, {@code [batch, paddedHeight, paddedWidth, groups]}; empty in the float form. */
        final char[] tables;
        /** Sum of the codes of each pixel, {@code [batch, paddedHeight, paddedWidth]}. */
        final int[] pixelSums;

        private final byte[] plain;

        /** Allocates; {@code columns} is at least the width. */
        Codes(Shape shape, int padding, int columns, boolean floats, int groups) {
            this.shape = shape;
            this.padding = padding;
            paddedWidth = columns + 2 * padding;
            paddedHeight = shape.dim(1) + 2 * padding;
            int pixels = shape.dim(0) * paddedHeight * paddedWidth;
            values = new float[floats ? Math.multiplyExact(pixels, shape.dim(3)) : 0];
            tables = new char[floats ? 0 : Math.multiplyExact(pixels, groups)];
            pixelSums = new int[pixels];
            plain = new byte[shape.size()];
        }

        @Override
        public Shape shape() {
            return shape;
        }

        @Override
        public byte[] toArray() {
            return plain.clone();
        }

        byte[] plain() {
            return plain;
        }

        /** Returns the padded pixel at the left end of row {@code row} of {@code batch * height}. */
        int rowAt(int row) {
            int height = shape.dim(1);
            return ((row / height) * paddedHeight + row % height + padding) * paddedWidth + padding;
        }

        /** Returns the padded pixel of the first tap of the leftmost output of a row. */
        int firstTapAt(int row) {
            int height = shape.dim(1);
            return ((row / height) * paddedHeight + row % height) * paddedWidth;
        }
    }

    private CodePlanes() {}

    /**
     * Turns a row of sums of code products into outputs.
     *
     * @param sums {@code [width, stride]}, exact integers below 2^24
     */
    static void finish(
            ConvAffine affine,
            Codes codes,
            int kernel,
            int row,
            float[] sums,
            int stride,
            boolean relu,
            Tensor y) {
        int height = codes.shape().dim(1);
        int width = codes.shape().dim(2);
        int channels = y.dim(3);
        int lanes = Panels.LANES;
        float[] a = affine.a();
        float[] b = affine.b();
        float[] d = affine.d();
        int taps = codes.firstTapAt(row);
        for (int x = 0; x < width; x++) {
            int codeSum = 0;
            for (int ky = 0; ky < kernel; ky++) {
                for (int kx = 0; kx < kernel; kx++) {
                    codeSum += codes.pixelSums[taps + ky * codes.paddedWidth + x + kx];
                }
            }
            FloatVector s = FloatVector.broadcast(Panels.SPECIES, (float) codeSum);
            int dAt = affine.border(row % height, x, height, width) * channels;
            int to = y.offset() + (row * width + x) * channels;
            int from = x * stride;
            int c = 0;
            for (; c + lanes <= channels; c += lanes) {
                FloatVector v = FloatVector.fromArray(Panels.SPECIES, b, c)
                        .fma(s, FloatVector.fromArray(Panels.SPECIES, d, dAt + c));
                v = FloatVector.fromArray(Panels.SPECIES, a, c)
                        .fma(FloatVector.fromArray(Panels.SPECIES, sums, from + c), v);
                (relu ? v.lanewise(VectorOperators.MAX, 0f) : v).intoArray(y.array(), to + c);
            }
            if (c < channels) {
                VectorMask<Float> mask = Panels.SPECIES.indexInRange(c, channels);
                FloatVector v = FloatVector.fromArray(Panels.SPECIES, b, c, mask)
                        .fma(s, FloatVector.fromArray(Panels.SPECIES, d, dAt + c, mask));
                v = FloatVector.fromArray(Panels.SPECIES, a, c, mask)
                        .fma(FloatVector.fromArray(Panels.SPECIES, sums, from + c, mask), v);
                (relu ? v.lanewise(VectorOperators.MAX, 0f) : v).intoArray(y.array(), to + c, mask);
            }
        }
    }
}
