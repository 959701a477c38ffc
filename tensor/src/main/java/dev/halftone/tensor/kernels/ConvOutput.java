// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * What becomes of the outputs {@code v} of a {@link PackedConv} while they are in cache: ReLU, then
 * {@code v = fma(scale, v, residual)}, then they are stored as fp32, or quantized for the next packed convolution, or both.
 *
 * @param relu whether negative outputs become 0
 * @param residual {@code [batch, height, width, outChannels]} to be added to, or null
 * @param scale of the outputs where they are added to a residual
 * @param y where the fp32 results go; null where only their codes are wanted
 * @param next the convolution that reads the results, or null
 * @param codes a buffer of {@code next}; null exactly if {@code next} is
 */
public record ConvOutput(
        boolean relu,
        @Nullable Tensor residual,
        float scale,
        @Nullable Tensor y,
        @Nullable PackedConv next,
        @Nullable ActivationCodes codes) {
    /** Checks that results go somewhere. */
    public ConvOutput {
        if ((next == null) != (codes == null) || (y == null && next == null)) {
            throw new IllegalArgumentException("the outputs of a packed convolution go nowhere");
        }
    }

    /** Returns fp32 outputs, with ReLU or without. */
    public static ConvOutput of(boolean relu, Tensor y) {
        return new ConvOutput(relu, null, 1, y, null, null);
    }

    /**
     * Checks that everything has the shape of the outputs.
     *
     * @throws IllegalArgumentException if something has not
     */
    public void check(Shape outputs) {
        check("residual", residual == null ? outputs : residual.shape(), outputs);
        check("output", y == null ? outputs : y.shape(), outputs);
        check("next convolution's input", codes == null ? outputs : codes.shape(), outputs);
    }

    private static void check(String what, Shape shape, Shape outputs) {
        if (!shape.equals(outputs)) {
            throw new IllegalArgumentException("the " + what + " must be " + outputs + ", not " + shape);
        }
    }

    /** Returns whether a kernel may write a row's outputs, after ReLU, straight to {@code y}. */
    public boolean direct() {
        return y != null && residual == null;
    }

    /**
     * Does the rest for a row of outputs after ReLU.
     *
     * @param row of {@code batch * height}
     * @param values the row: in {@code y} itself if {@link #direct}, else scratch that is overwritten
     * @param at where it begins
     * @param count its length
     */
    public void finishRow(int row, float[] values, int at, int count, RowAddition addition) {
        if (residual != null) {
            int from = residual.offset() + row * count;
            if (y != null) {
                addition.addScaled(
                        residual.array(), from, scale, values, at, y.array(), y.offset() + row * count, count);
            } else {
                addition.addScaled(residual.array(), from, scale, values, at, values, at, count);
            }
        }
        if (next != null && codes != null) {
            if (residual != null && y != null) {
                next.quantizeRow(y.array(), y.offset() + row * count, codes, row);
            } else {
                next.quantizeRow(values, at, codes, row);
            }
        }
    }

    /** Computes {@code y = fma(scale, b, a)} for runs of {@code count} values; {@code y} may be {@code b}. */
    @FunctionalInterface
    public interface RowAddition {
        /** Computes it. */
        void addScaled(float[] a, int atA, float scale, float[] b, int atB, float[] y, int atY, int count);
    }
}
