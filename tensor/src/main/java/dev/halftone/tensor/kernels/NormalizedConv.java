// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import org.jspecify.annotations.Nullable;

/** A packed convolution whose input is normalised before it is quantized; all else is in the coefficients of {@link ConvAffine}. */
public final class NormalizedConv implements PackedConv {
    /** Values that are normalised at a time, or a few less. */
    private static final int RUN = 2048;

    private final PackedConv conv;
    /** One for each value of a run of whole pixels. */
    private final float[] offsets;

    private final float[] gains;
    /** A row of a thread: a new one for every row would stream through the caches. */
    private final ThreadLocal<float[]> scratch = ThreadLocal.withInitial(() -> new float[0]);

    private NormalizedConv(PackedConv conv, ChannelNormalization normalization) {
        this.conv = conv;
        int channels = normalization.channels();
        offsets = new float[Math.max(1, RUN / channels) * channels];
        gains = new float[offsets.length];
        for (int i = 0; i < offsets.length; i++) {
            offsets[i] = normalization.offset().get(i % channels);
            gains[i] = normalization.gain().get(i % channels);
        }
    }

    /** Returns a convolution that normalises its input first, or the convolution itself where there is nothing to do. */
    public static PackedConv of(PackedConv conv, @Nullable ChannelNormalization normalization) {
        return normalization == null ? conv : new NormalizedConv(conv, normalization);
    }

    @Override
    public CodePath path() {
        return conv.path();
    }

    @Override
    public int kernel() {
        return conv.kernel();
    }

    @Override
    public ActivationCodes allocate(int batch, int height, int width) {
        return conv.allocate(batch, height, width);
    }

    @Override
    public boolean accepts(ActivationCodes codes) {
        return conv.accepts(codes);
    }

    @Override
    public void quantizeRow(float[] x, int at, ActivationCodes codes, int row) {
        int count = codes.shape().dim(2) * codes.shape().dim(3);
        float[] normalized = scratch.get();
        if (normalized.length < count) {
            normalized = new float[count];
            scratch.set(normalized);
        }
        for (int i = 0; i < count; i += gains.length) {
            normalize(offsets, gains, x, at + i, normalized, i, Math.min(gains.length, count - i));
        }
        conv.quantizeRow(normalized, 0, codes, row);
    }

    private static void normalize(float[] offsets, float[] gains, float[] x, int at, float[] to, int from, int count) {
        for (int i = 0; i < count; i++) {
            to[from + i] = gains[i] * (x[at + i] - offsets[i]);
        }
    }

    @Override
    public void forward(ActivationCodes codes, ConvOutput output, int fromRow, int toRow) {
        conv.forward(codes, output, fromRow, toRow);
    }
}
