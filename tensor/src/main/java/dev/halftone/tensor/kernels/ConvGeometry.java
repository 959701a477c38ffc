// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Tensor;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A stride-1 convolution over channels-last data. Input {@code [batch, height, width, inChannels]}, weight
 * {@code [kernel, kernel, inChannels / groups, outChannels]}, output {@code [batch, outHeight(), outWidth(), outChannels]}.
 * Output channel {@code c} belongs to group {@code c / (outChannels / groups)} and reads that group's slice of the input channels.
 *
 * @param padding zeros added on the left and right; negative crops (the input gradient of a padded 1x1 convolution needs that)
 * @param top zeros added above; fewer than {@code padding} where the input is a band of rows of a larger one
 * @param bottom zeros added below
 */
public record ConvGeometry(
        int batch,
        int height,
        int width,
        int inChannels,
        int outChannels,
        int kernel,
        int padding,
        int groups,
        int top,
        int bottom) {
    /** Checks that the sizes fit together. */
    public ConvGeometry {
        if (groups < 1 || inChannels % groups != 0 || outChannels % groups != 0) {
            throw new IllegalArgumentException(
                    groups + " groups do not divide " + inChannels + " input and " + outChannels + " output channels");
        }
        if (kernel < 1 || height + top + bottom < kernel || width + 2 * padding < kernel) {
            throw new IllegalArgumentException("kernel " + kernel + " with padding " + padding
                    + " does not fit an input of " + height + "x" + width);
        }
    }

    /** Describes a convolution with the same padding on every side. */
    public ConvGeometry(
            int batch, int height, int width, int inChannels, int outChannels, int kernel, int padding, int groups) {
        this(batch, height, width, inChannels, outChannels, kernel, padding, groups, padding, padding);
    }

    /** Returns {@code height + top + bottom - kernel + 1}. */
    public int outHeight() {
        return height + top + bottom - kernel + 1;
    }

    /** Returns {@code width + 2 * padding - kernel + 1}. */
    public int outWidth() {
        return width + 2 * padding - kernel + 1;
    }

    /** Returns the number of output rows over the whole batch; kernels split their work over these. */
    public int rows() {
        return batch * outHeight();
    }

    /** Returns the number of rows of the weight seen as a matrix {@code [rows, outChannels]}. */
    public int weightRows() {
        return kernel * kernel * (inChannels / groups);
    }

    /**
     * Returns where the partial sum of the weight gradient ends that output row {@code row} of {@link #rows()} lies in: partial
     * sums are as many whole rows of one image, counted from its top, as give at least 192 pixels. That is long enough to hide
     * the cost of a sum's start and end, and its rows of 64 channels still fit the second-level cache.
     */
    public int sumEnd(int row) {
        int length = Math.ceilDiv(192, outWidth());
        int oy = row % outHeight();
        return row - oy + Math.min(outHeight(), (oy / length + 1) * length);
    }

    /**
     * Checks the sizes of the tensors of {@link ConvKernels#forward}.
     *
     * @throws IllegalArgumentException if one does not fit this geometry
     * @throws IndexOutOfBoundsException if {@code [fromRow, toRow)} are not among {@link #rows()}
     */
    public void checkForward(Tensor x, Tensor weight, @Nullable Tensor bias, Tensor y, int fromRow, int toRow) {
        checkSize("input", x, (long) batch * height * width * inChannels);
        checkSize("weight", weight, (long) weightRows() * outChannels);
        if (bias != null) {
            checkSize("bias", bias, outChannels);
        }
        checkSize("output", y, (long) rows() * outWidth() * outChannels);
        Objects.checkFromToIndex(fromRow, toRow, rows());
    }

    /**
     * Checks the sizes of the tensors of {@link ConvKernels#weightGradient}.
     *
     * @throws IllegalArgumentException if one does not fit this geometry
     * @throws IndexOutOfBoundsException if {@code [fromRow, toRow)} are not among {@link #weightRows()}
     */
    public void checkWeightGradient(Tensor x, Tensor dy, Tensor dw, int fromRow, int toRow) {
        checkSize("input", x, (long) batch * height * width * inChannels);
        checkSize("output gradient", dy, (long) rows() * outWidth() * outChannels);
        checkSize("weight gradient", dw, (long) weightRows() * outChannels);
        Objects.checkFromToIndex(fromRow, toRow, weightRows());
    }

    void checkSize(String what, Tensor t, long size) {
        if (t.size() != size) {
            throw new IllegalArgumentException(
                    what + " " + t.shape() + " has " + t.size() + " values, " + this + " needs " + size);
        }
    }
}
