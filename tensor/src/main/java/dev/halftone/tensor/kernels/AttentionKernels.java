// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Attention inside windows, see {@link AttentionGeometry}; the scores of a window never leave the cache. For each head, with queries
 * q scaled by {@code depth^-1/2}:
 *
 * <pre>{@code
 *   score[j, i] = bias[j, i] + sum over c of k[j, c] q[i, c]          one chain of fused multiply-adds
 *   e[j, i]     = exp(score[j, i] - max over j)                       Exponential
 *   y[i, c]     = (sum over j of v[j, c] e[j, i]) / sum over j of e   a chain, and plain additions in order
 * }</pre>
 *
 * With grids, q, k and v are the levels of their codes, and probabilities become levels before the second product:
 *
 * <pre>{@code
 *   p[j, i]     = level(code(e[j, i] * (1 / sum over j of e)))
 *   y[i, c]     = sum over j of v[j, c] p[j, i]                       a chain
 * }</pre>
 *
 * All implementations give the same bits, but for the gradients of the grids' bounds, whose sums have no fixed order.
 */
public interface AttentionKernels {
    /** Returns how many floats of scratch memory the other methods want. */
    int scratch(AttentionGeometry g);

    /**
     * Computes the windows {@code [from, to)}.
     *
     * @param biases for each kind of window {@code [heads, pixels, stride]}, see {@link AttentionGeometry#biasSize}
     * @param grids null where operands are not quantized
     */
    void forward(
            AttentionGeometry g,
            Tensor qkv,
            float[][] biases,
            @Nullable AttentionGrids grids,
            Tensor y,
            float[] scratch,
            int from,
            int to);

    /**
     * Computes the gradient of the windows {@code [from, to)}; scores are computed again. Gradients pass straight through the rounding, see
     * {@link PointwiseKernels#fakeQuantizeGradient}.
     *
     * @param dqkv is overwritten, where the windows have their pixels
     * @param dBias {@code [heads, pixels, stride]}: the gradients of biases, whatever the kind of window, are added here, window by window
     * @param dBounds {@code [4, 2]}: the gradients of the lower and upper bounds of queries, keys, probabilities and values are added here;
     *     those of tables have none; null exactly if {@code grids} is
     */
    void backward(
            AttentionGeometry g,
            Tensor qkv,
            float[][] biases,
            @Nullable AttentionGrids grids,
            Tensor dy,
            Tensor dqkv,
            Tensor dBias,
            @Nullable Tensor dBounds,
            float[] scratch,
            int from,
            int to);
}
