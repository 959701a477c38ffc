// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.ConvAffine;
import dev.halftone.tensor.kernels.QuantizedConvWeight;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * The end of a packed convolution: from sums of products of centred codes to outputs. With centres {@code cx} and {@code cw},
 *
 * <pre>{@code
 * SUM qx * qw = SUM (qx - cx) * (qw - cw) + cw * SUM qx + cx * SUM qw - n * cx * cw
 * }</pre>
 *
 * in integers, so a kernel may choose the centres that suit it.
 */
final class ConvEnd {
    private static final VectorSpecies<Integer> INTS = VectorSpecies.of(int.class, Panels.SPECIES.vectorShape());
    private static final VectorSpecies<Short> SHORTS = VectorSpecies.of(short.class, Panels.SPECIES.vectorShape());
    private static final int LANES = INTS.length();

    private final ConvAffine affine;
    private final int weightCentre;
    /** Channels, rounded up so that whole vectors of coefficients can be read. */
    private final int stride;

    private final float[] a;
    private final float[] b;
    /** The constants, {@code [border case, stride]}. */
    private final float[] d;
    /** What turns the kernel's sums into sums of code products, {@code [border case, stride]}. */
    private final int[] correction;

    /** Prepares; {@code bias} is what the kernel's sums hold beyond the sums of centred products. */
    ConvEnd(QuantizedConvWeight weight, UniformGrid grid, int weightCentre, int activationCentre, int bias) {
        affine = new ConvAffine(weight, grid);
        this.weightCentre = weightCentre;
        int channels = weight.outChannels();
        stride = Math.ceilDiv(channels, 4 * LANES) * 4 * LANES;
        a = Arrays.copyOf(affine.a(), stride);
        b = Arrays.copyOf(affine.b(), stride);
        d = new float[affine.borders() * stride];
        correction = new int[affine.borders() * stride];
        for (int border = 0; border < affine.borders(); border++) {
            System.arraycopy(affine.d(), border * channels, d, border * stride, channels);
            for (int c = 0; c < channels; c++) {
                correction[border * stride + c] = activationCentre * affine.weightSum(border, c)
                        - affine.taps(border) * activationCentre * weightCentre
                        - bias;
            }
        }
    }

    /** What the outputs of a row have of their own. */
    static final class Row {
        private final int[] codeSums;
        private final int[] borderAt;

        Row(int width) {
            codeSums = new int[width];
            borderAt = new int[width];
        }

        /** Returns whether pixels share a border case. */
        boolean isUniform(int x, int pixels) {
            for (int p = 1; p < pixels; p++) {
                if (borderAt[x + p] != borderAt[x]) {
                    return false;
                }
            }
            return true;
        }
    }

    /** Fills in a row. */
    void begin(CodeMap map, int row, Row to) {
        map.codeSums(row, to.codeSums);
        int width = map.width();
        for (int x = 0; x < width; x++) {
            if (x <= map.padding || x >= width - map.padding) {
                to.borderAt[x] = map.border(affine, row, x) * stride;
            } else {
                to.borderAt[x] = to.borderAt[x - 1];
            }
        }
    }

    /**
     * Computes {@code pixels} outputs of a row from column {@code x} on, channels {@code channel} to {@code channel + count - 1}.
     *
     * @param sums the kernel's sums, {@code [pixels, sumStride]}; whole vectors are read
     * @param y where the row {@code [width, outChannels]} begins at {@code at}
     */
    void finish(
            Row row,
            int x,
            int pixels,
            int channel,
            int count,
            int[] sums,
            int sumStride,
            boolean relu,
            float[] y,
            int at,
            int outChannels) {
        for (int p = 0; p < pixels; p++) {
            int border = row.borderAt[x + p];
            int codeSum = row.codeSums[x + p];
            int to = at + (x + p) * outChannels + channel;
            for (int c = 0; c < count; c += LANES) {
                IntVector sum = IntVector.fromArray(INTS, sums, p * sumStride + c);
                lanes(sum, border, codeSum, channel + c, count - c, relu, y, to + c);
            }
        }
    }

    /**
     * Computes which of {@code pixels} outputs of a row reach a threshold, for a block of {@code 4 * LANES} channels from {@code
     * channel} on. Only for sums without centres or bias.
     *
     * @param sums {@code [pixels, 4 * LANES]}
     * @param reached one bit for each channel of the block, the first as the lowest; {@code [pixels]}
     */
    void reach(Row row, int x, int pixels, int channel, int[] sums, float threshold, long[] reached) {
        FloatVector a0 = FloatVector.fromArray(Panels.SPECIES, a, channel);
        FloatVector a1 = FloatVector.fromArray(Panels.SPECIES, a, channel + LANES);
        FloatVector a2 = FloatVector.fromArray(Panels.SPECIES, a, channel + 2 * LANES);
        FloatVector a3 = FloatVector.fromArray(Panels.SPECIES, a, channel + 3 * LANES);
        FloatVector b0 = FloatVector.fromArray(Panels.SPECIES, b, channel);
        FloatVector b1 = FloatVector.fromArray(Panels.SPECIES, b, channel + LANES);
        FloatVector b2 = FloatVector.fromArray(Panels.SPECIES, b, channel + 2 * LANES);
        FloatVector b3 = FloatVector.fromArray(Panels.SPECIES, b, channel + 3 * LANES);
        FloatVector t = FloatVector.broadcast(Panels.SPECIES, threshold);
        for (int p = 0; p < pixels; p++) {
            int border = row.borderAt[x + p] + channel;
            FloatVector codeSum = FloatVector.broadcast(Panels.SPECIES, (float) row.codeSums[x + p]);
            reached[p] = lanes(sums, 4 * p * LANES, a0, b0, codeSum, border, t)
                    | lanes(sums, (4 * p + 1) * LANES, a1, b1, codeSum, border + LANES, t) << LANES
                    | lanes(sums, (4 * p + 2) * LANES, a2, b2, codeSum, border + 2 * LANES, t) << (2 * LANES)
                    | lanes(sums, (4 * p + 3) * LANES, a3, b3, codeSum, border + 3 * LANES, t) << (3 * LANES);
        }
    }

    private long lanes(
            int[] sums, int at, FloatVector a, FloatVector b, FloatVector codeSum, int border, FloatVector t) {
        FloatVector products = (FloatVector) IntVector.fromArray(INTS, sums, at).convert(VectorOperators.I2F, 0);
        return a.fma(products, b.fma(codeSum, FloatVector.fromArray(Panels.SPECIES, d, border)))
                .compare(VectorOperators.GE, t)
                .toLong();
    }

    /**
     * The same for sums as table kernels leave them, without a detour through memory.
     *
     * @param raw two vectors for each pixel
     */
    void finish(
            Row row,
            int x,
            int pixels,
            int channel,
            int count,
            short[] raw,
            boolean relu,
            float[] y,
            int at,
            int outChannels) {
        if (row.isUniform(x, pixels)) {
            Columns c = new Columns(row, x, pixels, row.borderAt[x], channel, relu, y, at, outChannels);
            for (int which = 1; which >= 0; which--) {
                if (count >= (which + 1) * LANES) {
                    columns(c, raw, which, count >= (which + 3) * LANES);
                }
            }
            int last = count / LANES;
            if (count % LANES > 0) {
                rest(c, raw, last, count - last * LANES);
            }
            return;
        }
        for (int p = 0; p < pixels; p++) {
            int border = row.borderAt[x + p];
            int codeSum = row.codeSums[x + p];
            int to = at + (x + p) * outChannels + channel;
            IntVector e = even(raw, 4 * p * LANES);
            IntVector o = odd(raw, 4 * p * LANES);
            lanes(e.and(0xFFFF), border, codeSum, channel, count, relu, y, to);
            if (count > LANES) {
                lanes(o.and(0xFFFF), border, codeSum, channel + LANES, count - LANES, relu, y, to + LANES);
            }
            if (count > 2 * LANES) {
                lanes(
                        e.lanewise(VectorOperators.LSHR, 16),
                        border,
                        codeSum,
                        channel + 2 * LANES,
                        count - 2 * LANES,
                        relu,
                        y,
                        to + 2 * LANES);
            }
            if (count > 3 * LANES) {
                lanes(
                        o.lanewise(VectorOperators.LSHR, 16),
                        border,
                        codeSum,
                        channel + 3 * LANES,
                        count - 3 * LANES,
                        relu,
                        y,
                        to + 3 * LANES);
            }
        }
    }

    /** Some pixels beside each other that share a border case, channels from {@code channel} on; row {@code y} begins at {@code at}. */
    private record Columns(
            Row row, int x, int pixels, int border, int channel, boolean relu, float[] y, int at, int outChannels) {}

    /** Computes the last channels, fewer than a vector has. */
    private void rest(Columns c, short[] raw, int column, int count) {
        for (int p = 0; p < c.pixels; p++) {
            IntVector sums = column % 2 == 0 ? even(raw, 4 * p * LANES) : odd(raw, 4 * p * LANES);
            lanes(
                    column < 2 ? sums.and(0xFFFF) : sums.lanewise(VectorOperators.LSHR, 16),
                    c.border,
                    c.row.codeSums[c.x + p],
                    c.channel + column * LANES,
                    count,
                    c.relu,
                    c.y,
                    c.at + (c.x + p) * c.outChannels + c.channel + column * LANES);
        }
    }

    /**
     * Computes channels {@code [which * LANES, (which + 1) * LANES)} of pixels and, if {@code both}, those {@code 2 * LANES} further: with
     * the coefficients in registers.
     */
    private void columns(Columns c, short[] raw, int which, boolean both) {
        int low = c.channel + which * LANES;
        int high = low + (both ? 2 * LANES : 0);
        IntVector lowCorrection = IntVector.fromArray(INTS, correction, c.border + low);
        IntVector highCorrection = IntVector.fromArray(INTS, correction, c.border + high);
        FloatVector lowA = FloatVector.fromArray(Panels.SPECIES, a, low);
        FloatVector highA = FloatVector.fromArray(Panels.SPECIES, a, high);
        FloatVector lowB = FloatVector.fromArray(Panels.SPECIES, b, low);
        FloatVector highB = FloatVector.fromArray(Panels.SPECIES, b, high);
        FloatVector lowD = FloatVector.fromArray(Panels.SPECIES, d, c.border + low);
        FloatVector highD = FloatVector.fromArray(Panels.SPECIES, d, c.border + high);
        int[] codeSums = c.row.codeSums;
        float[] y = c.y;
        for (int p = 0; p < c.pixels; p++) {
            int codeSum = codeSums[c.x + p];
            int to = c.at + (c.x + p) * c.outChannels;
            IntVector sums = which == 0 ? even(raw, 4 * p * LANES) : odd(raw, 4 * p * LANES);
            IntVector centred = IntVector.broadcast(INTS, weightCentre * codeSum);
            FloatVector codes = FloatVector.broadcast(Panels.SPECIES, (float) codeSum);
            FloatVector v = (FloatVector)
                    sums.and(0xFFFF).add(lowCorrection).add(centred).convert(VectorOperators.I2F, 0);
            v = lowA.fma(v, lowB.fma(codes, lowD));
            if (c.relu) {
                v = v.blend(0f, v.compare(VectorOperators.LE, 0f));
            }
            v.intoArray(y, to + low);
            if (both) {
                FloatVector w = (FloatVector) sums.lanewise(VectorOperators.LSHR, 16)
                        .add(highCorrection)
                        .add(centred)
                        .convert(VectorOperators.I2F, 0);
                w = highA.fma(w, highB.fma(codes, highD));
                if (c.relu) {
                    w = w.blend(0f, w.compare(VectorOperators.LE, 0f));
                }
                w.intoArray(y, to + high);
            }
        }
    }

    /** Adds sums as table kernels leave them to {@code sums [pixel, 4 * LANES]}. */
    static void widen(short[] raw, int pixels, int[] sums) {
        for (int at = 0; at < pixels * 4 * LANES; at += 4 * LANES) {
            IntVector e = even(raw, at);
            IntVector o = odd(raw, at);
            add(e.and(0xFFFF), sums, at);
            add(o.and(0xFFFF), sums, at + LANES);
            add(e.lanewise(VectorOperators.LSHR, 16), sums, at + 2 * LANES);
            add(o.lanewise(VectorOperators.LSHR, 16), sums, at + 3 * LANES);
        }
    }

    private static void add(IntVector sum, int[] sums, int at) {
        sum.add(IntVector.fromArray(INTS, sums, at)).intoArray(sums, at);
    }

    /** Two shorts of sums side by side: {@code even + 256 * odd} comes first in memory, {@code odd} second. */
    private static IntVector even(short[] raw, int at) {
        ShortVector odd = ShortVector.fromArray(SHORTS, raw, at + 2 * LANES);
        return ShortVector.fromArray(SHORTS, raw, at)
                .sub(odd.lanewise(VectorOperators.LSHL, 8))
                .reinterpretAsInts();
    }

    private static IntVector odd(short[] raw, int at) {
        return ShortVector.fromArray(SHORTS, raw, at + 2 * LANES).reinterpretAsInts();
    }

    private void lanes(
            IntVector sum, int borderAt, int codeSum, int channel, int count, boolean relu, float[] y, int to) {
        FloatVector products = (FloatVector) sum.add(IntVector.fromArray(INTS, correction, borderAt + channel))
                .add(weightCentre * codeSum)
                .convert(VectorOperators.I2F, 0);
        FloatVector v = FloatVector.fromArray(Panels.SPECIES, b, channel)
                .fma(
                        FloatVector.broadcast(Panels.SPECIES, (float) codeSum),
                        FloatVector.fromArray(Panels.SPECIES, d, borderAt + channel));
        v = FloatVector.fromArray(Panels.SPECIES, a, channel).fma(products, v);
        if (relu) {
            // max(v, 0) to the bit, -0 and NaN included; C2's own maximum spends five instructions on them.
            v = v.blend(0f, v.compare(VectorOperators.LE, 0f));
        }
        if (count >= LANES) {
            v.intoArray(y, to);
        } else {
            v.intoArray(y, to, Panels.SPECIES.indexInRange(0, count));
        }
    }

    /** Computes {@code y = fma(scale, b, a)} over runs of values. */
    static void addScaled(float[] a, int atA, float scale, float[] b, int atB, float[] y, int atY, int count) {
        int i = 0;
        for (; i + Panels.LANES <= count; i += Panels.LANES) {
            FloatVector.fromArray(Panels.SPECIES, b, atB + i)
                    .fma(
                            FloatVector.broadcast(Panels.SPECIES, scale),
                            FloatVector.fromArray(Panels.SPECIES, a, atA + i))
                    .intoArray(y, atY + i);
        }
        for (; i < count; i++) {
            y[atY + i] = Math.fma(scale, b[atB + i], a[atA + i]);
        }
    }
}
