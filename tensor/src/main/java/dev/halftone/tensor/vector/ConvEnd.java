// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.ConvAffine;
import dev.halftone.tensor.kernels.QuantizedConvWeight;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
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

    private final ConvAffine affine;
    private final int channels;
    private final int weightCentre;
    /** What turns the kernel's sums into sums of code products, {@code [border case, output channel]}. */
    private final int[] correction;

    /** Prepares; {@code bias} is what the kernel's sums hold beyond the sums of centred products. */
    ConvEnd(QuantizedConvWeight weight, UniformGrid grid, int weightCentre, int activationCentre, int bias) {
        affine = new ConvAffine(weight, grid);
        channels = weight.outChannels();
        this.weightCentre = weightCentre;
        correction = new int[affine.borders() * channels];
        for (int border = 0; border < affine.borders(); border++) {
            for (int c = 0; c < channels; c++) {
                correction[border * channels + c] = activationCentre * affine.weightSum(border, c)
                        - affine.taps(border) * activationCentre * weightCentre
                        - bias;
            }
        }
    }

    /**
     * Computes {@code pixels} outputs of a row from column {@code x} on, channels {@code channel} to {@code channel + count - 1}.
     *
     * @param codeSums the sum of codes of every output of the row
     * @param sums the kernel's sums, {@code [pixels, stride]}
     * @param y where the row {@code [width, outChannels]} begins at {@code at}
     */
    void finish(
            CodeMap map,
            int row,
            int x,
            int pixels,
            int channel,
            int count,
            int[] codeSums,
            int[] sums,
            int stride,
            boolean relu,
            float[] y,
            int at) {
        int height = map.shape.dim(1);
        for (int p = 0; p < pixels; p++) {
            int border = affine.border(row % height, x + p, height, map.width());
            pixel(
                    border * channels + channel,
                    channel,
                    count,
                    codeSums[x + p],
                    sums,
                    p * stride,
                    relu,
                    y,
                    at + (x + p) * channels + channel);
        }
    }

    private void pixel(
            int borderAt, int channel, int count, int codeSum, int[] sums, int from, boolean relu, float[] y, int to) {
        float[] a = affine.a();
        float[] b = affine.b();
        float[] d = affine.d();
        int centring = weightCentre * codeSum;
        FloatVector s = FloatVector.broadcast(Panels.SPECIES, (float) codeSum);
        int c = 0;
        for (; c + Panels.LANES <= count; c += Panels.LANES) {
            FloatVector products = (FloatVector) IntVector.fromArray(INTS, sums, from + c)
                    .add(IntVector.fromArray(INTS, correction, borderAt + c))
                    .add(centring)
                    .convert(VectorOperators.I2F, 0);
            FloatVector v = FloatVector.fromArray(Panels.SPECIES, b, channel + c)
                    .fma(s, FloatVector.fromArray(Panels.SPECIES, d, borderAt + c));
            v = FloatVector.fromArray(Panels.SPECIES, a, channel + c).fma(products, v);
            (relu ? v.lanewise(VectorOperators.MAX, 0f) : v).intoArray(y, to + c);
        }
        if (c < count) {
            VectorMask<Float> mask = Panels.SPECIES.indexInRange(c, count);
            VectorMask<Integer> ints = INTS.indexInRange(c, count);
            FloatVector products = (FloatVector) IntVector.fromArray(INTS, sums, from + c, ints)
                    .add(IntVector.fromArray(INTS, correction, borderAt + c, ints))
                    .add(centring)
                    .convert(VectorOperators.I2F, 0);
            FloatVector v = FloatVector.fromArray(Panels.SPECIES, b, channel + c, mask)
                    .fma(s, FloatVector.fromArray(Panels.SPECIES, d, borderAt + c, mask));
            v = FloatVector.fromArray(Panels.SPECIES, a, channel + c, mask).fma(products, v);
            (relu ? v.lanewise(VectorOperators.MAX, 0f) : v).intoArray(y, to + c, mask);
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
