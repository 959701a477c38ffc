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
     * Computes rows {@code [fromRow, toRow)} of {@link ConvGeometry#weightRows()} of the weight gradient:
     * {@code dw[ky, kx, ci, co] = sum over batch and pixels of x * dy}, overwriting {@code dw}. The sum is blocked: the pixels
     * of the output rows up to {@link ConvGeometry#sumEnd} are one chain of fused multiply-adds from 0 in reading order, and
     * these partial sums are added in order to 0. Pixels whose tap falls outside the input are skipped.
     */
    void weightGradient(ConvGeometry g, Tensor x, Tensor dy, Tensor dw, int fromRow, int toRow);
}
