// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import org.jspecify.annotations.Nullable;

/** A packed convolution whose input is normalised before it is quantized; all else is in the coefficients of {@link ConvAffine}. */
public final class NormalizedConv implements PackedConv {
    private final PackedConv conv;
    private final ChannelNormalization normalization;

    private NormalizedConv(PackedConv conv, ChannelNormalization normalization) {
        this.conv = conv;
        this.normalization = normalization;
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
        float[] normalized = new float[codes.shape().dim(2) * codes.shape().dim(3)];
        normalization.apply(x, at, normalized, normalized.length);
        conv.quantizeRow(normalized, 0, codes, row);
    }

    @Override
    public void forward(ActivationCodes codes, ConvOutput output, int fromRow, int toRow) {
        conv.forward(codes, output, fromRow, toRow);
    }
}
