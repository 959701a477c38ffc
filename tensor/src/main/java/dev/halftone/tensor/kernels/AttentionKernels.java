// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Tensor;

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
 * All implementations give the same bits.
 */
public interface AttentionKernels {
    /** Returns how many floats of scratch memory the other methods want. */
    int scratch(AttentionGeometry g);

    /**
     * Computes the windows {@code [from, to)}.
     *
     * @param biases for each kind of window {@code [heads, pixels, stride]}, see {@link AttentionGeometry#biasSize}
     */
    void forward(AttentionGeometry g, Tensor qkv, float[][] biases, Tensor y, float[] scratch, int from, int to);

    /**
     * Computes the gradient of the windows {@code [from, to)}; scores are computed again.
     *
     * @param dqkv is overwritten, where the windows have their pixels
     * @param dBias {@code [heads, pixels, stride]}: the gradients of biases, whatever the kind of window, are added here, window by window
     */
    void backward(
            AttentionGeometry g,
            Tensor qkv,
            float[][] biases,
            Tensor dy,
            Tensor dqkv,
            Tensor dBias,
            float[] scratch,
            int from,
            int to);
}
