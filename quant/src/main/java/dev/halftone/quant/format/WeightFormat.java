// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.format;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.StoredTensor;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A weight as it is stored: codes, what they stand for, and everything else that it takes to get the weight back. Immutable. Only
 * {@link UniformWeight} is executed on its codes, and {@link NestedWeight}, which is one once a width is chosen; of the others the weight is
 * made once, when a network is loaded.
 */
public sealed interface WeightFormat extends WeightQuantizer
        permits UniformWeight, NestedWeight, Codebook, BinaryCoding, Composite, LowRank, Outliers {
    /** Returns the shape of the weight, {@code [k, k, in, out]} or {@code [in, out]}. */
    Shape shape();

    /** Returns the bits that all of it takes in a file: codes, scales, offsets, masks, tables. */
    default long storedBits() {
        return tensors("").stream()
                .mapToLong(tensor -> 8 * tensor.data().byteSize())
                .sum();
    }

    /** Returns what a file calls the format, with all that its tensors do not say themselves. */
    String tag();

    /** Returns the codes that kernels run on; null where the weight has to be dequantized. */
    default @Nullable UniformWeight executable() {
        return null;
    }

    /** Returns the weight that it stands for. */
    Tensor dequantize();

    /**
     * Returns what a file has of it.
     *
     * @param name of the weight, which the names of the tensors begin with
     */
    List<StoredTensor> tensors(String name);

    @Override
    default WeightFormat store(Tensor weight) {
        if (!weight.shape().equals(shape())) {
            throw new IllegalArgumentException("a stored weight " + shape() + " for " + weight.shape());
        }
        return this;
    }
}
