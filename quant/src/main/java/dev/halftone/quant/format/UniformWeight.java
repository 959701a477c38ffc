// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.format;

import dev.halftone.tensor.PackedCodes;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.StoredTensor;
import java.util.List;

/**
 * Codes on a uniform grid for the tensor, or on one for each output channel: the format that layers execute as it is. Tensors of a file:
 * {@code _codes} (U8), {@code _lower} and {@code _upper} ({@code [1]} or {@code [out]}).
 *
 * @param shape of the weight
 * @param codes in the order of the weight
 * @param quantizer what they stand for
 */
public record UniformWeight(Shape shape, PackedCodes codes, UniformQuantizer quantizer) implements WeightFormat {
    /** Checks that they fit together. */
    public UniformWeight {
        quantizer.requireFitting(codes, shape);
    }

    @Override
    public int bits() {
        return codes.bits();
    }

    /** {@inheritDoc} A layer whose entry in the list of layers has no tag has this one. */
    @Override
    public String tag() {
        return "uniform";
    }

    @Override
    public UniformWeight executable() {
        return this;
    }

    @Override
    public Tensor dequantize() {
        return quantizer.dequantize(codes, shape);
    }

    @Override
    public List<StoredTensor> tensors(String name) {
        byte[] bytes = codes.toByteArray();
        return List.of(
                StoredTensor.bytes(name + "_codes", new int[] {bytes.length}, bytes),
                StoredTensor.of(name + "_lower", quantizer.lower()),
                StoredTensor.of(name + "_upper", quantizer.upper()));
    }
}
