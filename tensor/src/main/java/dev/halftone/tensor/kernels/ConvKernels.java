// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * fp32 convolution, stride 1, channels-last. Every method computes a range of rows on the calling thread, and the result does not
 * depend on how the rows are split into ranges. All implementations give the same bits.
 */
public interface ConvKernels {
    /**
     * Computes output rows {@code [fromRow, toRow)} of {@link ConvGeometry#rows()}: {@code y = x * w + bias}, then ReLU if asked.
     *
     * <p>Each output value is one chain of fused multiply-adds that starts at the bias (or 0) and runs over kernel row, kernel
     * column, input channel, in this order, skipping taps that fall outside the input; so a value does not depend on where in
     * the image, or in which tile, it is computed.
     */
    void forward(
            ConvGeometry g,
            Tensor x,
            Tensor weight,
            @Nullable Tensor bias,
            boolean relu,
            Tensor y,
            int fromRow,
            int toRow);

    /**
     * Computes a 3x3 convolution by Winograd's F(4x4, 3x3), then ReLU if asked: about three times faster than {@link #forward}, and
     * not the same bits. The range is over {@link WinogradWeight#block blocks} of tiles of 4x4 outputs; the first tile of an image begins
     * at its first output. Each tile is computed from its 6x6 inputs {@code d}, zeros outside the image, by
     *
     * <pre>{@code
     * V[i, j, ci] = (B^T d B)[i, j]      M[i, j, co] = SUM V[i, j, ci] * U[i, j, ci, co]      y = (A^T M A) + bias
     * }</pre>
     *
     * with {@code M} one chain of fused multiply-adds from 0, in the order of the channels. Both transforms are two passes of a
     * transform of one line, that of the inputs down the columns first, that of the outputs along the rows first. With
     * {@code a = 5/8} and {@code b = 3/2} a line becomes
     *
     * <pre>{@code
     * B^T d:  u = fma(-b^2, d2, d4)   v = fma(-b^2, d1, d3)   p = fma(-a^2, d2, d4)   q = fma(-a^2, d1, d3)
     *         fma(a^2 b^2, d0, fma(-(a^2 + b^2), d2, d4))   fma(a, v, u)   fma(-a, v, u)
     *         fma(b, q, p)   fma(-b, q, p)   fma(a^2 b^2, d1, fma(-(a^2 + b^2), d3, d5))
     * A^T m:  s = m1 + m2   t = m1 - m2   p = m3 + m4   q = m3 - m4
     *         (m0 + s) + p   fma(b, q, a * t)   fma(b^2, p, a^2 * s)   fma(b^3, q, fma(a^3, t, m5))
     * }</pre>
     *
     * <p>An output depends, through rounding, on all inputs of its tile, so equal bits need tiles at the same places.
     *
     * @param g the convolution; its outputs are {@code [batch, outHeight, outWidth, outChannels]}
     * @param y the outputs, shuffled by {@link WinogradWeight#shuffle}
     * @param scratch at least {@link #winogradScratch} values, overwritten
     */
    void winograd(
            ConvGeometry g, WinogradWeight weight, Tensor x, boolean relu, Tensor y, float[] scratch, int from, int to);

    /** Returns how much scratch a call of {@link #winograd} needs. */
    int winogradScratch(WinogradWeight weight);

    /**
     * Computes rows {@code [fromRow, toRow)} of {@link ConvGeometry#weightRows()} of the weight gradient:
     * {@code dw[ky, kx, ci, co] = sum over batch and pixels of x * dy}, overwriting {@code dw}. The sum is blocked: the pixels
     * of the output rows up to {@link ConvGeometry#sumEnd} are one chain of fused multiply-adds from 0 in reading order, and
     * these partial sums are added in order to 0. Pixels whose tap falls outside the input are skipped.
     */
    void weightGradient(ConvGeometry g, Tensor x, Tensor dy, Tensor dw, int fromRow, int toRow);
}
