// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.quant.calibration.Tails;
import dev.halftone.quant.format.ActivationQuantizer;
import dev.halftone.quant.format.FullPrecision;
import org.jspecify.annotations.Nullable;

/** An input of a layer that is to be quantized, and what passes have decided for it so far. */
public final class InputOperand {
    private final String name;
    private final Tails tails;
    private int bits;
    private @Nullable ActivationQuantizer quantizer;
    private double error;

    InputOperand(String name, Tails tails, int bits) {
        this.name = name;
        this.tails = tails;
        allocate(bits);
    }

    /** Returns its name: that of the layer, and where this has several inputs a dot and which. */
    public String name() {
        return name;
    }

    /** Returns what the network's structure says of its distribution: whether a softmax or a GELU, with one long tail, made it. */
    public Tails tails() {
        return tails;
    }

    /** Returns the bits per code that it is to have, or {@link FullPrecision#BITS}. */
    public int bits() {
        return bits;
    }

    /** Sets the bits per code, 1 to 8, and forgets the quantizer; with {@link FullPrecision#BITS} it is not quantized. */
    public void allocate(int newBits) {
        bits = newBits;
        quantizer = newBits == FullPrecision.BITS ? new FullPrecision() : null;
        error = 0;
    }

    /**
     * Sets the quantizer.
     *
     * @param relativeError what is known of its relative squared error, {@code |x - xq|^2 / |x|^2}, on the calibration images
     */
    public void quantize(ActivationQuantizer by, double relativeError) {
        quantizer = by;
        bits = by.bits();
        error = relativeError;
    }

    /** Returns whether a pass has chosen a quantizer, or none is wanted. */
    public boolean isQuantized() {
        return quantizer != null;
    }

    /**
     * Returns the quantizer.
     *
     * @throws IllegalStateException if no pass has chosen one
     */
    public ActivationQuantizer quantizer() {
        if (quantizer == null) {
            throw new IllegalStateException("no pass has chosen bounds for the input of " + name);
        }
        return quantizer;
    }

    /** Returns the relative squared error that came with the quantizer. */
    public double error() {
        return error;
    }
}
