// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.ActivationCodes;
import dev.halftone.tensor.kernels.CodeSteps;
import dev.halftone.tensor.kernels.ConvAffine;
import java.util.Objects;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/** What feature maps of codes share: pixels with a border of {@code padding} on every side, and the sum of each pixel's codes. */
final class CodeMap {
    /** Plus it, floats from 0 to 2^23 are rounded to integers, which are the lowest bits. */
    static final float ROUND = 0x1p23f;

    private static final VectorSpecies<Integer> INTS = VectorSpecies.of(int.class, Panels.SPECIES.vectorShape());
    /** As many bytes as there are floats in a vector. */
    private static final VectorSpecies<Byte> BYTES =
            VectorSpecies.of(byte.class, VectorShape.forBitSize(Math.max(64, 8 * Panels.LANES)));

    final Shape shape;
    final int padding;
    /** Pixels of a row, border included. */
    final int paddedWidth;

    private final int paddedHeight;
    /** The row that this map begins with, of the rows of the image that is in memory, which are {@code height}. */
    private final int first;

    private final int height;
    /** {@code [batch, paddedHeight, paddedWidth]}; zero in the border. */
    private final int[] pixelSums;

    /** Creates a map of {@code shape = [batch, height, width, channels]} with room for {@code columns >= width} in a row. */
    CodeMap(Shape shape, int padding, int columns) {
        this.shape = shape;
        this.padding = padding;
        paddedWidth = columns + 2 * padding;
        first = 0;
        height = shape.dim(1);
        paddedHeight = height + 2 * padding;
        pixelSums = new int[Math.multiplyExact(shape.dim(0) * paddedHeight, paddedWidth)];
    }

    private CodeMap(CodeMap of, int from, int to) {
        if (of.shape.dim(0) != 1) {
            throw new IllegalArgumentException("rows of a map of " + of.shape + ", which has more than one image");
        }
        Objects.checkFromToIndex(from, to, of.shape.dim(1));
        shape = of.shape.with(1, to - from);
        padding = of.padding;
        paddedWidth = of.paddedWidth;
        paddedHeight = of.paddedHeight;
        first = of.first + from;
        height = of.height;
        pixelSums = of.pixelSums;
    }

    /** Returns the map of rows {@code [from, to)}, see {@link ActivationCodes#rows}. */
    CodeMap rows(int from, int to) {
        return new CodeMap(this, from, to);
    }

    /** Copies the code sums of rows, see {@link ActivationCodes#copyRows}. */
    void copyRows(int from, CodeMap to, int toRow, int count) {
        System.arraycopy(
                pixelSums,
                (firstTapRow(from) + padding) * paddedWidth,
                to.pixelSums,
                (to.firstTapRow(toRow) + padding) * paddedWidth,
                count * paddedWidth);
    }

    /** Returns the memory of the code sums, in bytes. */
    long bytes() {
        return 4L * pixelSums.length;
    }

    int width() {
        return shape.dim(2);
    }

    int channels() {
        return shape.dim(3);
    }

    /** Returns the number of padded rows. */
    int paddedRows() {
        return shape.dim(0) * paddedHeight;
    }

    /** Returns the padded row of the first taps of row {@code row} of {@code batch * height}; the row itself is {@code padding} below. */
    int firstTapRow(int row) {
        return row / shape.dim(1) * paddedHeight + first + row % shape.dim(1);
    }

    /** Returns the border case of an output of row {@code row} of {@code batch * height}. */
    int border(ConvAffine affine, int row, int x) {
        return affine.border(first + row % shape.dim(1), x, height, width());
    }

    /** Sets the code sum of a pixel of row {@code row} of {@code batch * height}. */
    void setPixelSum(int row, int x, int sum) {
        pixelSums[(firstTapRow(row) + padding) * paddedWidth + padding + x] = sum;
    }

    /** Sets the code sums of pixels from {@code x} on, of a map of one row without a border. */
    void setPixelSums(int x, FloatVector sums) {
        sums.convert(VectorOperators.F2I, 0).reinterpretAsInts().intoArray(pixelSums, x);
    }

    /** Computes the sum of the codes under the kernel for every output of a row. */
    void codeSums(int row, int[] sums) {
        int kernel = 2 * padding + 1;
        int first = firstTapRow(row) * paddedWidth;
        int width = width();
        int x = 0;
        for (; x + INTS.length() <= width; x += INTS.length()) {
            IntVector sum = IntVector.zero(INTS);
            for (int ky = 0; ky < kernel; ky++) {
                for (int kx = 0; kx < kernel; kx++) {
                    sum = sum.add(IntVector.fromArray(INTS, pixelSums, first + ky * paddedWidth + x + kx));
                }
            }
            sum.intoArray(sums, x);
        }
        for (; x < width; x++) {
            int sum = 0;
            for (int ky = 0; ky < kernel; ky++) {
                for (int kx = 0; kx < kernel; kx++) {
                    sum += pixelSums[first + ky * paddedWidth + x + kx];
                }
            }
            sums[x] = sum;
        }
    }

    /** Computes the codes of {@code count} values, as floats. */
    static void quantize(UniformGrid grid, float[] x, int at, float[] codes, int to, int count) {
        float scale = grid.scale();
        int i = 0;
        for (; i + Panels.LANES <= count; i += Panels.LANES) {
            code(grid, FloatVector.fromArray(Panels.SPECIES, x, at + i), scale)
                    .sub(ROUND)
                    .intoArray(codes, to + i);
        }
        for (; i < count; i++) {
            codes[to + i] = grid.code(x[at + i]);
        }
    }

    /** Computes the codes of {@code count} values, as bytes. */
    static void quantize(CodeSteps steps, float[] x, int at, byte[] codes, int count) {
        int i;
        if (steps.rising().length == 3 && steps.falling().length == 0) {
            i = quantize3(steps.rising(), x, at, codes, count);
        } else {
            i = steps.takesInFunction() ? 0 : divide(steps.grid(), x, at, codes, count);
        }
        for (; i < count; i++) {
            codes[i] = (byte) steps.code(x[at + i]);
        }
    }

    /** Computes the codes of {@code count} values, as floats. */
    static void quantize(CodeSteps steps, float[] x, int at, float[] codes, int count) {
        int i;
        if (steps.rising().length == 3 && steps.falling().length == 0) {
            i = quantize3(steps.rising(), x, at, codes, count);
        } else if (steps.takesInFunction()) {
            i = count(steps.rising(), steps.falling(), x, at, codes, count);
        } else {
            quantize(steps.grid(), x, at, codes, 0, count);
            i = count;
        }
        for (; i < count; i++) {
            codes[i] = steps.code(x[at + i]);
        }
    }

    private static int quantize3(float[] rising, float[] x, int at, float[] codes, int count) {
        FloatVector zero = FloatVector.zero(Panels.SPECIES);
        FloatVector one = FloatVector.broadcast(Panels.SPECIES, 1);
        FloatVector two = FloatVector.broadcast(Panels.SPECIES, 2);
        FloatVector three = FloatVector.broadcast(Panels.SPECIES, 3);
        FloatVector first = FloatVector.broadcast(Panels.SPECIES, rising[0]);
        FloatVector second = FloatVector.broadcast(Panels.SPECIES, rising[1]);
        FloatVector third = FloatVector.broadcast(Panels.SPECIES, rising[2]);
        int i = 0;
        for (; i + Panels.LANES <= count; i += Panels.LANES) {
            FloatVector v = FloatVector.fromArray(Panels.SPECIES, x, at + i);
            zero.blend(one, v.compare(VectorOperators.GE, first))
                    .blend(two, v.compare(VectorOperators.GE, second))
                    .blend(three, v.compare(VectorOperators.GE, third))
                    .intoArray(codes, i);
        }
        return i;
    }

    private static int count(float[] rising, float[] falling, float[] x, int at, float[] codes, int count) {
        FloatVector zero = FloatVector.zero(Panels.SPECIES);
        FloatVector one = FloatVector.broadcast(Panels.SPECIES, 1);
        int i = 0;
        for (; i + 4 * Panels.LANES <= count; i += 4 * Panels.LANES) {
            FloatVector v0 = FloatVector.fromArray(Panels.SPECIES, x, at + i);
            FloatVector v1 = FloatVector.fromArray(Panels.SPECIES, x, at + i + Panels.LANES);
            FloatVector v2 = FloatVector.fromArray(Panels.SPECIES, x, at + i + 2 * Panels.LANES);
            FloatVector v3 = FloatVector.fromArray(Panels.SPECIES, x, at + i + 3 * Panels.LANES);
            FloatVector c0 = zero, c1 = zero, c2 = zero, c3 = zero;
            for (int k = 0; k < rising.length; k++) {
                FloatVector step = FloatVector.broadcast(Panels.SPECIES, rising[k]);
                c0 = c0.add(zero.blend(one, v0.compare(VectorOperators.GE, step)));
                c1 = c1.add(zero.blend(one, v1.compare(VectorOperators.GE, step)));
                c2 = c2.add(zero.blend(one, v2.compare(VectorOperators.GE, step)));
                c3 = c3.add(zero.blend(one, v3.compare(VectorOperators.GE, step)));
            }
            for (int k = 0; k < falling.length; k++) {
                FloatVector step = FloatVector.broadcast(Panels.SPECIES, falling[k]);
                c0 = c0.add(zero.blend(one, v0.compare(VectorOperators.LE, step)));
                c1 = c1.add(zero.blend(one, v1.compare(VectorOperators.LE, step)));
                c2 = c2.add(zero.blend(one, v2.compare(VectorOperators.LE, step)));
                c3 = c3.add(zero.blend(one, v3.compare(VectorOperators.LE, step)));
            }
            c0.intoArray(codes, i);
            c1.intoArray(codes, i + Panels.LANES);
            c2.intoArray(codes, i + 2 * Panels.LANES);
            c3.intoArray(codes, i + 3 * Panels.LANES);
        }
        return i;
    }

    private static int divide(UniformGrid grid, float[] x, int at, byte[] codes, int count) {
        float scale = grid.scale();
        int i = 0;
        for (; i + Panels.LANES <= count; i += Panels.LANES) {
            bytes(code(grid, FloatVector.fromArray(Panels.SPECIES, x, at + i), scale), codes, i);
        }
        return i;
    }

    /** 2-bit codes: three comparisons take less time than the division. */
    private static int quantize3(float[] rising, float[] x, int at, byte[] codes, int count) {
        FloatVector zero = FloatVector.broadcast(Panels.SPECIES, ROUND);
        FloatVector one = FloatVector.broadcast(Panels.SPECIES, ROUND + 1);
        FloatVector two = FloatVector.broadcast(Panels.SPECIES, ROUND + 2);
        FloatVector three = FloatVector.broadcast(Panels.SPECIES, ROUND + 3);
        FloatVector first = FloatVector.broadcast(Panels.SPECIES, rising[0]);
        FloatVector second = FloatVector.broadcast(Panels.SPECIES, rising[1]);
        FloatVector third = FloatVector.broadcast(Panels.SPECIES, rising[2]);
        int i = 0;
        for (; i + Panels.LANES <= count; i += Panels.LANES) {
            FloatVector v = FloatVector.fromArray(Panels.SPECIES, x, at + i);
            bytes(
                    zero.blend(one, v.compare(VectorOperators.GE, first))
                            .blend(two, v.compare(VectorOperators.GE, second))
                            .blend(three, v.compare(VectorOperators.GE, third)),
                    codes,
                    i);
        }
        return i;
    }

    /** Stores codes. The low byte of the rounded float is the code: without the conversion to int and its special cases. */
    static void bytes(FloatVector code, byte[] codes, int at) {
        code.reinterpretAsInts()
                .convertShape(VectorOperators.I2B, BYTES, 0)
                .reinterpretAsBytes()
                .intoArray(codes, at);
    }

    /**
     * Returns 2^23 plus the codes: lane by lane what {@link UniformGrid#code} does; adding 2^23 rounds half to even. Comparisons and
     * blends, because the Vector API's maximum and minimum order zeros and keep NaN in five instructions each (1.8 against 0.9 ns a
     * vector of 16).
     */
    private static FloatVector code(UniformGrid grid, FloatVector v, float scale) {
        float lower = grid.lower();
        float upper = grid.upper();
        float maxCode = grid.maxCode();
        FloatVector atLeast =
                FloatVector.broadcast(Panels.SPECIES, lower).blend(v, v.compare(VectorOperators.GE, lower));
        FloatVector clipped = atLeast.blend(upper, atLeast.compare(VectorOperators.GT, upper));
        FloatVector code = clipped.sub(lower).div(scale);
        return code.blend(maxCode, code.compare(VectorOperators.GT, maxCode)).add(ROUND);
    }
}
