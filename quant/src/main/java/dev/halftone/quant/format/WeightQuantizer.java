// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.format;

import dev.halftone.tensor.Tensor;

/**
 * What passes decide for a weight: a grid that its values are rounded to when it is packed, so that they can be changed and trained until
 * then, or the stored form itself.
 */
public sealed interface WeightQuantizer permits UniformQuantizer, WeightFormat {
    /** Returns the bits of a code, 1 to 8. */
    int bits();

    /**
     * Returns the stored form of a weight; what is stored already is returned as it is.
     *
     * @param weight {@code [k, k, in, out]} or {@code [in, out]}
     */
    WeightFormat store(Tensor weight);
}
