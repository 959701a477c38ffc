// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.Gradients;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.quant.format.WeightFormat;
import dev.halftone.quant.format.WeightQuantizer;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** A weight that is to be quantized, and what passes have decided for it so far. */
public final class WeightOperand {
    private final String name;
    private final QuantizableLayer.Weight weight;
    private int bits;
    private @Nullable WeightQuantizer quantizer;

    WeightOperand(String name, QuantizableLayer.Weight weight, int bits) {
        this.name = name;
        this.weight = weight;
        this.bits = bits;
    }

    /** Returns its dotted name, for example {@code body.0.body.0.weight}. */
    public String name() {
        return name;
    }

    /** Returns a copy of the fp32 values {@code [..., out]}. */
    public Tensor values() {
        return weight.values();
    }

    /** Returns the gradient with respect to it. */
    public Tensor own(Gradients gradients) {
        return weight.of(gradients.of(weight.parameter()));
    }

    /** Replaces the fp32 values, in the network. A stored form that was chosen before is forgotten, as it is of other values. */
    public void setValues(Tensor values) {
        if (!values.shape().equals(weight.values().shape())) {
            throw new IllegalArgumentException("values " + values.shape() + " for " + name);
        }
        weight.set(values);
        if (quantizer instanceof WeightFormat) {
            quantizer = null;
        }
    }

    /** Returns the bits per code that it is to have. */
    public int bits() {
        return bits;
    }

    /** Sets the bits per code, 1 to 8, and forgets the quantizer. */
    public void allocate(int newBits) {
        bits = newBits;
        quantizer = null;
    }

    /**
     * Sets the quantizer: a grid per tensor or per output channel, to which values are rounded in the end, or a stored form of the
     * present values.
     */
    public void quantize(WeightQuantizer by) {
        if (by instanceof WeightFormat format
                && !format.shape().equals(weight.values().shape())) {
            throw new IllegalArgumentException("a stored weight " + format.shape() + " for " + name);
        }
        quantizer = by;
        bits = by.bits();
    }

    /** Returns whether a pass has chosen a quantizer. */
    public boolean isQuantized() {
        return quantizer != null;
    }

    /** Returns whether a pass has chosen a stored form, which has no bounds to be chosen. */
    public boolean isStored() {
        return quantizer instanceof WeightFormat;
    }

    /**
     * Returns the uniform quantizer.
     *
     * @throws IllegalStateException if no pass has chosen one, or a stored form that is none
     */
    public UniformQuantizer quantizer() {
        if (chosen() instanceof UniformQuantizer uniform) {
            return uniform;
        }
        throw new IllegalStateException(name + " is stored in a format that is not uniform");
    }

    /**
     * Returns what was chosen.
     *
     * @throws IllegalStateException if nothing was
     */
    public WeightQuantizer chosen() {
        if (quantizer == null) {
            throw new IllegalStateException("no pass has chosen bounds for " + name);
        }
        return quantizer;
    }

    /**
     * Returns the form in which the present values are stored.
     *
     * @throws IllegalStateException if no pass has chosen one
     */
    public WeightFormat stored() {
        return chosen().store(values());
    }

    /** Returns the relative squared error, {@code |w - wq|^2 / |w|^2}. */
    public double error() {
        Tensor w = values();
        Tensor q = stored().dequantize();
        double error = 0;
        double power = 0;
        for (int i = 0; i < w.size(); i++) {
            double v = w.array()[w.offset() + i];
            double d = v - q.array()[i];
            error += d * d;
            power += v * v;
        }
        return power == 0 ? 0 : error / power;
    }
}
