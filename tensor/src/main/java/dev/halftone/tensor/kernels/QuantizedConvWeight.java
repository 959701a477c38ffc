// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.PackedCodes;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The quantized weight of a convolution with stride 1, one group and zero padding {@code kernel / 2}. The weight of output
 * channel {@code c} with code {@code q} is {@code scale[c] * q + lower[c]}; a per-tensor quantizer has equal entries.
 *
 * @param kernel height and width, odd
 * @param inChannels input channels
 * @param outChannels output channels
 * @param codes {@code [kernel, kernel, inChannels, outChannels]}, row-major
 * @param scale {@code [outChannels]}
 * @param lower {@code [outChannels]}
 * @param bias {@code [outChannels]}, or null for none
 * @param input what is done to the input before it is quantized, or null for nothing
 */
public record QuantizedConvWeight(
        int kernel,
        int inChannels,
        int outChannels,
        PackedCodes codes,
        Tensor scale,
        Tensor lower,
        @Nullable Tensor bias,
        @Nullable ChannelNormalization input) {
    /** Checks that the sizes fit together. */
    public QuantizedConvWeight {
        if (kernel < 1 || kernel % 2 == 0) {
            throw new IllegalArgumentException("the kernel must be odd, not " + kernel);
        }
        if (inChannels < 1 || outChannels < 1) {
            throw new IllegalArgumentException("convolution of " + inChannels + " to " + outChannels + " channels");
        }
        if (codes.size() != (long) kernel * kernel * inChannels * outChannels) {
            throw new IllegalArgumentException("a weight [" + kernel + ", " + kernel + ", " + inChannels + ", "
                    + outChannels + "] does not have " + codes.size() + " codes");
        }
        requireChannels("scale", scale, outChannels);
        requireChannels("lower", lower, outChannels);
        if (bias != null) {
            requireChannels("bias", bias, outChannels);
        }
        if (input != null) {
            requireChannels("input offset", input.offset(), inChannels);
        }
    }

    /** Creates a weight whose input is quantized as it is. */
    public QuantizedConvWeight(
            int kernel,
            int inChannels,
            int outChannels,
            PackedCodes codes,
            Tensor scale,
            Tensor lower,
            @Nullable Tensor bias) {
        this(kernel, inChannels, outChannels, codes, scale, lower, bias, null);
    }

    private static void requireChannels(String name, Tensor t, int channels) {
        if (t.shape().rank() != 1 || t.dim(0) != channels) {
            throw new IllegalArgumentException(name + " must be [" + channels + "], not " + t.shape());
        }
    }
}
