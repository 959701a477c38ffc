// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.ActivationCodes;
import dev.halftone.tensor.kernels.ConvOutput;
import dev.halftone.tensor.kernels.PackedConv;
import dev.halftone.tensor.kernels.QuantizedConvWeight;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * A convolution of 1-bit codes with 1-bit codes: 32 input channels are an int, and the sum of their products is the number of bits
 * that both have. The lanes of an int vector are output channels, so that the sums are where the end of the convolution wants them.
 */
final class BinaryConv implements PackedConv {
    private static final VectorSpecies<Integer> INTS = VectorSpecies.of(int.class, Panels.SPECIES.vectorShape());
    private static final int LANES = INTS.length();
    /** Output channels of a block: four vectors. */
    private static final int BLOCK = 4 * LANES;
    /** Outputs of a tile: with four vectors of sums each, and the weights, they fill the 32 registers of AVX-512. */
    private static final int PIXELS = 6;

    private final int inChannels;
    private final int outChannels;
    private final int kernel;
    private final float threshold;
    private final ConvEnd end;
    /** Ints of a pixel. */
    private final int words;
    /** {@code [block][ky][kx][word][lane]}. */
    private final int[] weights;

    BinaryConv(QuantizedConvWeight weight, UniformGrid grid) {
        this.inChannels = weight.inChannels();
        this.outChannels = weight.outChannels();
        this.kernel = weight.kernel();
        this.threshold = threshold(grid);
        this.end = new ConvEnd(weight, grid, 0, 0, 0);
        this.words = Math.ceilDiv(inChannels, Integer.SIZE);
        int taps = kernel * kernel;
        weights = new int[Math.multiplyExact(Math.ceilDiv(outChannels, BLOCK) * BLOCK, taps * words)];
        byte[] codes = weight.codes().unpack();
        for (int from = 0; from < codes.length; from++) {
            int c = from % outChannels;
            int ci = from / outChannels % inChannels;
            int tap = from / outChannels / inChannels;
            int at = ((c / BLOCK * taps + tap) * words + ci / Integer.SIZE) * BLOCK + c % BLOCK;
            weights[at] |= codes[from] << ci;
        }
    }

    static boolean supports(QuantizedConvWeight weight, UniformGrid grid) {
        return weight.codes().bits() == 1 && grid.bits() == 1;
    }

    /** Bits, {@code [padded row][padded column][word]}; zero in the border. */
    private static final class Codes implements ActivationCodes {
        final CodeMap map;
        final int[] bits;
        private final int words;

        Codes(CodeMap map, int words) {
            this.map = map;
            this.words = words;
            bits = new int[Math.multiplyExact(Math.multiplyExact(map.paddedRows(), map.paddedWidth), words)];
        }

        private Codes(CodeMap map, Codes of) {
            this.map = map;
            this.words = of.words;
            this.bits = of.bits;
        }

        @Override
        public ActivationCodes rows(int from, int to) {
            return new Codes(map.rows(from, to), this);
        }

        @Override
        public void copyRows(int from, ActivationCodes to, int toRow, int count) {
            Codes target = (Codes) to;
            System.arraycopy(
                    bits,
                    at(map.firstTapRow(from) + map.padding, 0),
                    target.bits,
                    target.at(target.map.firstTapRow(toRow) + map.padding, 0),
                    count * map.paddedWidth * words);
            map.copyRows(from, target.map, toRow, count);
        }

        int at(int paddedRow, int paddedColumn) {
            return (paddedRow * map.paddedWidth + paddedColumn) * words;
        }

        @Override
        public Shape shape() {
            return map.shape;
        }

        @Override
        public long bytes() {
            return 4L * bits.length + map.bytes();
        }

        @Override
        public byte[] toArray() {
            byte[] codes = new byte[map.shape.size()];
            for (int i = 0; i < codes.length; i++) {
                int pixel = i / map.channels();
                int c = i % map.channels();
                int at = at(map.firstTapRow(pixel / map.width()) + map.padding, map.padding + pixel % map.width());
                codes[i] = (byte) (bits[at + c / Integer.SIZE] >>> c & 1);
            }
            return codes;
        }
    }

    @Override
    public int kernel() {
        return kernel;
    }

    @Override
    public ActivationCodes allocate(int batch, int height, int width) {
        // Whole tiles; the outputs behind the last column are computed and dropped.
        int columns = Math.ceilDiv(width, PIXELS) * PIXELS;
        return new Codes(new CodeMap(Shape.of(batch, height, width, inChannels), kernel / 2, columns), words);
    }

    @Override
    public boolean accepts(ActivationCodes codes) {
        return codes instanceof Codes own && own.map.channels() == inChannels && own.map.padding == kernel / 2;
    }

    private Codes own(ActivationCodes codes) {
        if (codes instanceof Codes own && accepts(own)) {
            return own;
        }
        throw new IllegalArgumentException("codes of " + codes.shape() + " that this convolution did not allocate");
    }

    @Override
    public void quantizeRow(float[] x, int from, ActivationCodes codes, int row) {
        Codes own = own(codes);
        int at = own.at(own.map.firstTapRow(row) + own.map.padding, own.map.padding);
        for (int column = 0; column < own.map.width(); column++) {
            int sum = 0;
            for (int word = 0; word < words; word++) {
                int first = word * Integer.SIZE;
                int bits = bits(x, from + column * inChannels + first, Math.min(Integer.SIZE, inChannels - first));
                own.bits[at++] = bits;
                sum += Integer.bitCount(bits);
            }
            own.map.setPixelSum(row, column, sum);
        }
    }

    /** Returns the codes of up to 32 values, the first as the lowest bit; NaN has code 0. */
    private int bits(float[] x, int at, int count) {
        int bits = 0;
        int i = 0;
        for (; i + LANES <= count; i += LANES) {
            long ones = FloatVector.fromArray(Panels.SPECIES, x, at + i)
                    .compare(VectorOperators.GE, threshold)
                    .toLong();
            bits |= (int) ones << i;
        }
        for (; i < count; i++) {
            bits |= (x[at + i] >= threshold ? 1 : 0) << i;
        }
        return bits;
    }

    /** Returns the smallest value with code 1, found by bisection: codes do not fall as values rise. */
    private static float threshold(UniformGrid grid) {
        float zero = grid.lower();
        float one = grid.upper();
        while (Math.nextUp(zero) < one) {
            // Halves the distance, and where that is beyond the largest float or rounds to an end, at least moves.
            float middle = zero / 2 + one / 2;
            if (!(middle > zero && middle < one)) {
                middle = Math.nextUp(zero);
            }
            if (grid.code(middle) == 0) {
                zero = middle;
            } else {
                one = middle;
            }
        }
        return one;
    }

    @Override
    public void forward(ActivationCodes codes, ConvOutput output, int fromRow, int toRow) {
        Codes own = own(codes);
        output.check(own.shape().with(3, outChannels));
        own.checkRows(fromRow, toRow);
        CodeMap map = own.map;
        int count = map.width() * outChannels;
        Tensor y = output.direct() ? output.y() : null;
        float[] line = y == null ? new float[count] : y.array();
        ConvEnd.Row ends = new ConvEnd.Row(map.width());
        int[] sums = new int[PIXELS * BLOCK];
        for (int row = fromRow; row < toRow; row++) {
            end.begin(map, row, ends);
            int lineAt = y == null ? 0 : y.offset() + row * count;
            for (int first = 0; first < outChannels; first += BLOCK) {
                int channels = Math.min(BLOCK, outChannels - first);
                for (int x = 0; x < map.width(); x += PIXELS) {
                    tile(
                            own.bits,
                            own.at(map.firstTapRow(row), x),
                            words,
                            map.paddedWidth * words,
                            kernel,
                            kernel * words,
                            weights,
                            first * kernel * kernel * words,
                            sums);
                    int pixels = Math.min(PIXELS, map.width() - x);
                    end.finish(ends, x, pixels, first, channels, sums, BLOCK, output.relu(), line, lineAt, outChannels);
                }
            }
            output.finishRow(row, line, lineAt, count, ConvEnd::addScaled);
        }
    }

    /** Computes the sums of a tile, {@code [pixel][lane]}: {@code rows} kernel rows of {@code run} ints each. */
    private static void tile(
            int[] codes, int at, int step, int rowStep, int rows, int run, int[] weights, int weightsAt, int[] sums) {
        IntVector zero = IntVector.zero(INTS);
        IntVector a00 = zero, a01 = zero, a02 = zero, a03 = zero;
        IntVector a10 = zero, a11 = zero, a12 = zero, a13 = zero;
        IntVector a20 = zero, a21 = zero, a22 = zero, a23 = zero;
        IntVector a30 = zero, a31 = zero, a32 = zero, a33 = zero;
        IntVector a40 = zero, a41 = zero, a42 = zero, a43 = zero;
        IntVector a50 = zero, a51 = zero, a52 = zero, a53 = zero;
        for (int row = 0; row < rows; row++) {
            int from = at + row * rowStep;
            int w = weightsAt + row * run * BLOCK;
            for (int i = 0; i < run; i++) {
                IntVector w0 = IntVector.fromArray(INTS, weights, w + i * BLOCK);
                IntVector w1 = IntVector.fromArray(INTS, weights, w + i * BLOCK + LANES);
                IntVector w2 = IntVector.fromArray(INTS, weights, w + i * BLOCK + 2 * LANES);
                IntVector w3 = IntVector.fromArray(INTS, weights, w + i * BLOCK + 3 * LANES);
                IntVector x = IntVector.broadcast(INTS, codes[from + i]);
                a00 = a00.add(x.and(w0).lanewise(VectorOperators.BIT_COUNT));
                a01 = a01.add(x.and(w1).lanewise(VectorOperators.BIT_COUNT));
                a02 = a02.add(x.and(w2).lanewise(VectorOperators.BIT_COUNT));
                a03 = a03.add(x.and(w3).lanewise(VectorOperators.BIT_COUNT));
                x = IntVector.broadcast(INTS, codes[from + step + i]);
                a10 = a10.add(x.and(w0).lanewise(VectorOperators.BIT_COUNT));
                a11 = a11.add(x.and(w1).lanewise(VectorOperators.BIT_COUNT));
                a12 = a12.add(x.and(w2).lanewise(VectorOperators.BIT_COUNT));
                a13 = a13.add(x.and(w3).lanewise(VectorOperators.BIT_COUNT));
                x = IntVector.broadcast(INTS, codes[from + 2 * step + i]);
                a20 = a20.add(x.and(w0).lanewise(VectorOperators.BIT_COUNT));
                a21 = a21.add(x.and(w1).lanewise(VectorOperators.BIT_COUNT));
                a22 = a22.add(x.and(w2).lanewise(VectorOperators.BIT_COUNT));
                a23 = a23.add(x.and(w3).lanewise(VectorOperators.BIT_COUNT));
                x = IntVector.broadcast(INTS, codes[from + 3 * step + i]);
                a30 = a30.add(x.and(w0).lanewise(VectorOperators.BIT_COUNT));
                a31 = a31.add(x.and(w1).lanewise(VectorOperators.BIT_COUNT));
                a32 = a32.add(x.and(w2).lanewise(VectorOperators.BIT_COUNT));
                a33 = a33.add(x.and(w3).lanewise(VectorOperators.BIT_COUNT));
                x = IntVector.broadcast(INTS, codes[from + 4 * step + i]);
                a40 = a40.add(x.and(w0).lanewise(VectorOperators.BIT_COUNT));
                a41 = a41.add(x.and(w1).lanewise(VectorOperators.BIT_COUNT));
                a42 = a42.add(x.and(w2).lanewise(VectorOperators.BIT_COUNT));
                a43 = a43.add(x.and(w3).lanewise(VectorOperators.BIT_COUNT));
                x = IntVector.broadcast(INTS, codes[from + 5 * step + i]);
                a50 = a50.add(x.and(w0).lanewise(VectorOperators.BIT_COUNT));
                a51 = a51.add(x.and(w1).lanewise(VectorOperators.BIT_COUNT));
                a52 = a52.add(x.and(w2).lanewise(VectorOperators.BIT_COUNT));
                a53 = a53.add(x.and(w3).lanewise(VectorOperators.BIT_COUNT));
            }
        }
        a00.intoArray(sums, 0);
        a01.intoArray(sums, LANES);
        a02.intoArray(sums, 2 * LANES);
        a03.intoArray(sums, 3 * LANES);
        a10.intoArray(sums, BLOCK);
        a11.intoArray(sums, BLOCK + LANES);
        a12.intoArray(sums, BLOCK + 2 * LANES);
        a13.intoArray(sums, BLOCK + 3 * LANES);
        a20.intoArray(sums, 2 * BLOCK);
        a21.intoArray(sums, 2 * BLOCK + LANES);
        a22.intoArray(sums, 2 * BLOCK + 2 * LANES);
        a23.intoArray(sums, 2 * BLOCK + 3 * LANES);
        a30.intoArray(sums, 3 * BLOCK);
        a31.intoArray(sums, 3 * BLOCK + LANES);
        a32.intoArray(sums, 3 * BLOCK + 2 * LANES);
        a33.intoArray(sums, 3 * BLOCK + 3 * LANES);
        a40.intoArray(sums, 4 * BLOCK);
        a41.intoArray(sums, 4 * BLOCK + LANES);
        a42.intoArray(sums, 4 * BLOCK + 2 * LANES);
        a43.intoArray(sums, 4 * BLOCK + 3 * LANES);
        a50.intoArray(sums, 5 * BLOCK);
        a51.intoArray(sums, 5 * BLOCK + LANES);
        a52.intoArray(sums, 5 * BLOCK + 2 * LANES);
        a53.intoArray(sums, 5 * BLOCK + 3 * LANES);
    }
}
