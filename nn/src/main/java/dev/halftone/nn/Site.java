// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

/**
 * A place where a network can be quantized. Passes see sites, never a particular network.
 *
 * @param name the dotted name of the layer, for example {@code body.0.body.2}
 * @param role what the layer there computes
 * @param region which part of the network it belongs to
 * @param slot where the layer sits, to be replaced by a quantized one
 */
public record Site(String name, Role role, Region region, Child slot) {
    /** What a layer computes. */
    public enum Role {
        /** A convolution: its weight and its input can be quantized. */
        CONV,
        /** A {@link Linear}: its weight and its input can be quantized. */
        LINEAR,
        /** A {@link Linear} whose input a GELU has made: it has a fixed minimum and one long tail. */
        LINEAR_AFTER_GELU,
        /** A {@link Linear} that computes queries, keys and values, each a third of its outputs: as {@link #LINEAR}, or each on its own. */
        QKV,
        /** {@link AttentionProducts}: queries, keys, probabilities and values can be quantized. */
        ATTENTION
    }

    /** The parts of a super-resolution network. */
    public enum Region {
        /** From the image to features. */
        HEAD,
        /** The residual or transformer blocks: the scope of the literature. */
        BODY,
        /** The convolutions that close the body, or a group of its blocks. */
        BODY_END,
        /** From low to high resolution. */
        UPSAMPLER,
        /** From features to the image. */
        TAIL
    }
}
