// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
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

        private final int group;
        private final int groups;
        private final int bits;

        private Codes(Shape shape, int padding, int columns, boolean floats, int group, int bits) {
            this.shape = shape;
            this.group = group;
            this.groups = Math.ceilDiv(shape.dim(3), group);
            this.bits = bits;
            this.padding = padding;
            paddedWidth = columns + 2 * padding;
            paddedHeight = shape.dim(1) + 2 * padding;
            int pixels = shape.dim(0) * paddedHeight * paddedWidth;
            values = new float[floats ? Math.multiplyExact(pixels, shape.dim(3)) : 0];
            tables = new char[floats ? 0 : Math.multiplyExact(pixels, groups)];
            pixelSums = new int[pixels];
        }

        /** Allocates codes as floats. */
        static Codes floats(Shape shape, int padding) {
            return new Codes(shape, padding, shape.dim(2), true, 1, 8);
        }

        /** Allocates codes as table numbers; {@code columns} is at least the width. */
        static Codes tables(Shape shape, int padding, int columns, int group, int bits) {
            return new Codes(shape, padding, columns, false, group, bits);
        }

        @Override
        public Shape shape() {
            return shape;
        }

        @Override
        public byte[] toArray() {
            byte[] codes = new byte[shape.size()];
            int width = shape.dim(2);
            int channels = shape.dim(3);
            for (int i = 0; i < codes.length; i++) {
                int pixel = i / channels;
                int c = i % channels;
                int at = rowAt(pixel / width) + pixel % width;
                codes[i] = values.length > 0
                        ? (byte) values[at * channels + c]
                        : (byte) (tables[at * groups + c / group] >> (c % group * bits) & ((1 << bits) - 1));
            }
            return codes;
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
     * Computes the codes of {@code count} values, as floats: lane by lane what {@link UniformGrid#code} does. Adding and subtracting
     * 2^23 rounds half to even.
     */
    static void quantize(UniformGrid grid, float[] x, int at, float[] codes, int to, int count) {
        float scale = grid.scale();
        float maxCode = grid.maxCode();
        int i = 0;
        for (; i + Panels.LANES <= count; i += Panels.LANES) {
            FloatVector v = FloatVector.fromArray(Panels.SPECIES, x, at + i);
            FloatVector clipped =
                    v.lanewise(VectorOperators.MAX, grid.lower()).lanewise(VectorOperators.MIN, grid.upper());
            FloatVector code = clipped.sub(grid.lower())
                    .div(scale)
                    .add(0x1p23f)
                    .sub(0x1p23f)
                    .lanewise(VectorOperators.MIN, maxCode);
            code.blend(0f, v.test(VectorOperators.IS_NAN)).intoArray(codes, to + i);
        }
        for (; i < count; i++) {
            codes[to + i] = grid.code(x[at + i]);
        }
    }

    /**
     * Turns a row of sums of code products into outputs.
     *
     * @param sums {@code [width, stride]}, exact integers below 2^24
     */
    static void finish(
            ConvAffine affine, Codes codes, int kernel, int row, float[] sums, int stride, boolean relu, Tensor y) {
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
