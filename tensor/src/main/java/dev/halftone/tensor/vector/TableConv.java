// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.PackedCodes;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.ActivationCodes;
import dev.halftone.tensor.kernels.ConvAffine;
import dev.halftone.tensor.kernels.PackedConv;
import dev.halftone.tensor.kernels.QuantizedConvWeight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * A convolution on codes of 1 to 3 bits by table look-up. Lanes are 64 output channels. {@code 6 / bits} input channels form a group:
 * their weight codes are a 6-bit index, one byte for each output channel; their activation codes are a 6-bit number that selects one
 * of 64 tables of 64 bytes, whose entry at an index is the sum of the group's products. One byte shuffle and one addition do
 * {@code 64 * 6 / bits} multiply-adds. Sums stay in bytes as long as they cannot overflow, then are widened.
 *
 * <p>Tables and weights lie outside the heap, aligned to cache lines: a heap array starts 16 bytes off one.
 */
final class TableConv implements PackedConv {
    private static final VectorSpecies<Byte> BYTES = ByteVector.SPECIES_512;
    private static final VectorSpecies<Short> SHORTS = ShortVector.SPECIES_512;
    private static final ByteOrder ORDER = ByteOrder.nativeOrder();
    private static final int BLOCK = 64;
    private static final int PIXELS = 4;

    private final QuantizedConvWeight weight;
    private final UniformGrid grid;
    private final ConvAffine affine;
    private final int bits;
    private final int group;
    private final int groups;
    private final int chunk;
    private final int blocks;
    private final MemorySegment tables;
    /** {@code [block][ky][kx][group][64]}; lane 2i is channel i of the block, lane 2i + 1 is channel 32 + i. */
    private final MemorySegment weights;

    TableConv(QuantizedConvWeight weight, UniformGrid grid) {
        this.weight = weight;
        this.grid = grid;
        this.affine = new ConvAffine(weight, grid);
        bits = Math.max(weight.codes().bits(), grid.bits());
        group = 6 / bits;
        groups = Math.ceilDiv(weight.inChannels(), group);
        chunk = 255 / largestEntry(bits);
        blocks = Math.ceilDiv(weight.outChannels(), BLOCK);
        tables = Arena.ofAuto().allocate(BLOCK * BLOCK, BLOCK);
        for (int a = 0; a < BLOCK; a++) {
            for (int w = 0; w < BLOCK; w++) {
                tables.set(ValueLayout.JAVA_BYTE, a * BLOCK + w, (byte) entry(a, w));
            }
        }
        int kernel = weight.kernel();
        weights = Arena.ofAuto().allocate((long) blocks * kernel * kernel * groups * BLOCK, BLOCK);
        PackedCodes codes = weight.codes();
        for (int tap = 0; tap < kernel * kernel; tap++) {
            for (int ci = 0; ci < weight.inChannels(); ci++) {
                for (int co = 0; co < weight.outChannels(); co++) {
                    int code = codes.get((tap * weight.inChannels() + ci) * weight.outChannels() + co);
                    int inBlock = co % BLOCK;
                    int lane = inBlock < 32 ? 2 * inBlock : 2 * (inBlock - 32) + 1;
                    long at = ((long) (co / BLOCK * kernel * kernel + tap) * groups + ci / group) * BLOCK + lane;
                    int index = weights.get(ValueLayout.JAVA_BYTE, at) | code << (ci % group * bits);
                    weights.set(ValueLayout.JAVA_BYTE, at, (byte) index);
                }
            }
        }
    }

    private static int largestEntry(int bits) {
        int max = (1 << bits) - 1;
        return 6 / bits * max * max;
    }

    private int entry(int activations, int weightCodes) {
        int mask = (1 << bits) - 1;
        int sum = 0;
        for (int i = 0; i < group; i++) {
            sum += (activations >> (i * bits) & mask) * (weightCodes >> (i * bits) & mask);
        }
        return sum;
    }

    static boolean supports(QuantizedConvWeight weight, UniformGrid grid) {
        int bits = Math.max(weight.codes().bits(), grid.bits());
        long max = (1L << bits) - 1;
        return bits <= 3
                && Panels.SPECIES.vectorBitSize() == 512
                && (long) weight.kernel() * weight.kernel() * weight.inChannels() * max * max <= Short.MAX_VALUE;
    }

    @Override
    public ActivationCodes allocate(int batch, int height, int width) {
        // Columns are rounded up to whole tiles; the extra outputs are computed and dropped.
        int columns = Math.ceilDiv(width, PIXELS) * PIXELS;
        return CodePlanes.Codes.tables(
                Shape.of(batch, height, width, weight.inChannels()), weight.kernel() / 2, columns, group, bits);
    }

    private CodePlanes.Codes own(ActivationCodes codes) {
        if (codes instanceof CodePlanes.Codes own
                && own.shape().dim(3) == weight.inChannels()
                && own.tables.length == own.pixelSums.length * groups) {
            return own;
        }
        throw new IllegalArgumentException("codes of " + codes.shape() + " that this convolution did not allocate");
    }

    @Override
    public void quantize(Tensor x, ActivationCodes activations, int fromRow, int toRow) {
        CodePlanes.Codes to = own(activations);
        int channels = weight.inChannels();
        to.check(x, channels, fromRow, toRow);
        int width = to.shape().dim(2);
        float[] codes = new float[width * channels];
        for (int row = fromRow; row < toRow; row++) {
            int at = to.rowAt(row);
            CodePlanes.quantize(grid, x.array(), x.offset() + row * width * channels, codes, 0, width * channels);
            int from = 0;
            for (int i = 0; i < width; i++) {
                int sum = 0;
                for (int g = 0, c = 0; g < groups; g++) {
                    int number = 0;
                    for (int k = 0; k < group && c < channels; k++, c++) {
                        int code = (int) codes[from++];
                        number |= code << (k * bits);
                        sum += code;
                    }
                    to.tables[(at + i) * groups + g] = (char) number;
                }
                to.pixelSums[at + i] = sum;
            }
        }
    }

    @Override
    public void forward(ActivationCodes activations, boolean relu, Tensor y, int fromRow, int toRow) {
        CodePlanes.Codes from = own(activations);
        int kernel = weight.kernel();
        from.check(y, weight.outChannels(), fromRow, toRow);
        int width = from.shape().dim(2);
        int stride = blocks * BLOCK;
        float[] sums = new float[Math.ceilDiv(width, PIXELS) * PIXELS * stride];
        int run = kernel * groups;
        for (int row = fromRow; row < toRow; row++) {
            int first = from.firstTapAt(row);
            for (int block = 0; block < blocks; block++) {
                for (int x = 0; x < width; x += PIXELS) {
                    tile(
                            weights,
                            (long) block * kernel * run * BLOCK,
                            tables,
                            from.tables,
                            (first + x) * groups,
                            groups,
                            from.paddedWidth * groups,
                            kernel,
                            run,
                            chunk,
                            sums,
                            x * stride + block * BLOCK,
                            stride);
                }
            }
            CodePlanes.finish(affine, from, kernel, row, sums, stride, relu, y);
        }
    }

    /** Computes {@code PIXELS} neighbouring outputs of 64 channels. */
    private static void tile(
            MemorySegment weights,
            long wAt,
            MemorySegment tables,
            char[] codes,
            int xAt,
            int xStep,
            int xRow,
            int rows,
            int run,
            int chunk,
            float[] sums,
            int to,
            int stride) {
        ShortVector e0 = ShortVector.zero(SHORTS);
        ShortVector o0 = ShortVector.zero(SHORTS);
        ShortVector e1 = ShortVector.zero(SHORTS);
        ShortVector o1 = ShortVector.zero(SHORTS);
        ShortVector e2 = ShortVector.zero(SHORTS);
        ShortVector o2 = ShortVector.zero(SHORTS);
        ShortVector e3 = ShortVector.zero(SHORTS);
        ShortVector o3 = ShortVector.zero(SHORTS);
        for (int row = 0; row < rows; row++) {
            for (int j = 0; j < run; j += chunk) {
                int end = Math.min(run, j + chunk);
                ByteVector b0 = ByteVector.zero(BYTES);
                ByteVector b1 = ByteVector.zero(BYTES);
                ByteVector b2 = ByteVector.zero(BYTES);
                ByteVector b3 = ByteVector.zero(BYTES);
                for (int i = j; i < end; i++) {
                    ByteVector w = ByteVector.fromMemorySegment(BYTES, weights, wAt + (long) i * 64, ORDER);
                    int at = xAt + i;
                    b0 = b0.add(
                            w.selectFrom(ByteVector.fromMemorySegment(BYTES, tables, (long) codes[at] * 64, ORDER)));
                    b1 = b1.add(w.selectFrom(
                            ByteVector.fromMemorySegment(BYTES, tables, (long) codes[at + xStep] * 64, ORDER)));
                    b2 = b2.add(w.selectFrom(
                            ByteVector.fromMemorySegment(BYTES, tables, (long) codes[at + 2 * xStep] * 64, ORDER)));
                    b3 = b3.add(w.selectFrom(
                            ByteVector.fromMemorySegment(BYTES, tables, (long) codes[at + 3 * xStep] * 64, ORDER)));
                }
                ShortVector s0 = b0.reinterpretAsShorts();
                e0 = e0.add(s0.and((short) 0xFF));
                o0 = o0.add(s0.lanewise(VectorOperators.LSHR, 8));
                ShortVector s1 = b1.reinterpretAsShorts();
                e1 = e1.add(s1.and((short) 0xFF));
                o1 = o1.add(s1.lanewise(VectorOperators.LSHR, 8));
                ShortVector s2 = b2.reinterpretAsShorts();
                e2 = e2.add(s2.and((short) 0xFF));
                o2 = o2.add(s2.lanewise(VectorOperators.LSHR, 8));
                ShortVector s3 = b3.reinterpretAsShorts();
                e3 = e3.add(s3.and((short) 0xFF));
                o3 = o3.add(s3.lanewise(VectorOperators.LSHR, 8));
            }
            xAt += xRow;
            wAt += (long) run * 64;
        }
        store(e0, sums, to);
        store(o0, sums, to + 32);
        store(e1, sums, to + stride);
        store(o1, sums, to + stride + 32);
        store(e2, sums, to + 2 * stride);
        store(o2, sums, to + 2 * stride + 32);
        store(e3, sums, to + 3 * stride);
        store(o3, sums, to + 3 * stride + 32);
    }

    /** Stores 32 sums, which are below 2^15, as floats. */
    private static void store(ShortVector sums, float[] to, int at) {
        for (int part = 0; part < 2; part++) {
            ((FloatVector) sums.convertShape(VectorOperators.S2F, FloatVector.SPECIES_512, part))
                    .intoArray(to, at + 16 * part);
        }
    }
}
