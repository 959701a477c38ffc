// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.ActivationCodes;
import dev.halftone.tensor.kernels.ConvAffine;
import dev.halftone.tensor.kernels.PackedConv;
import dev.halftone.tensor.kernels.QuantizedConvWeight;
import java.util.Arrays;

/**
 * A convolution on codes of up to 8 bits held as floats: integers below 2^24 are exact in fp32, in any order, so the fp32
 * micro-kernel is an exact integer kernel as long as no sum gets there. Where the whole sum could, it is cut into kernel rows or
 * taps, whose exact sums are added as integers.
 */
final class FloatCodeConv implements PackedConv {
    private static final long EXACT = 1 << 24;

    private final QuantizedConvWeight weight;
    private final UniformGrid grid;
    private final ConvAffine affine;
    private final float[] codes;
    /** How many kernel rows, and how many taps of a row, one exact sum spans. */
    private final int rowsPerSum;

    private final int tapsPerSum;

    FloatCodeConv(QuantizedConvWeight weight, UniformGrid grid) {
        this.weight = weight;
        this.grid = grid;
        this.affine = new ConvAffine(weight, grid);
        byte[] plain = weight.codes().unpack();
        codes = new float[plain.length];
        for (int i = 0; i < plain.length; i++) {
            codes[i] = plain[i] & 0xFF;
        }
        int kernel = weight.kernel();
        boolean whole = fits(weight, grid, kernel * kernel);
        boolean row = fits(weight, grid, kernel);
        rowsPerSum = whole ? kernel : 1;
        tapsPerSum = whole || row ? kernel : 1;
    }

    static boolean supports(QuantizedConvWeight weight, UniformGrid grid) {
        return fits(weight, grid, 1);
    }

    private static boolean fits(QuantizedConvWeight weight, UniformGrid grid, int taps) {
        long maxWeight = (1L << weight.codes().bits()) - 1;
        return (long) taps * weight.inChannels() * maxWeight * grid.maxCode() < EXACT;
    }

    @Override
    public ActivationCodes allocate(int batch, int height, int width) {
        return CodePlanes.Codes.floats(Shape.of(batch, height, width, weight.inChannels()), weight.kernel() / 2);
    }

    private CodePlanes.Codes own(ActivationCodes codes) {
        if (codes instanceof CodePlanes.Codes own
                && own.shape().dim(3) == weight.inChannels()
                && own.values.length > 0 == own.shape().size() > 0) {
            return own;
        }
        throw new IllegalArgumentException("codes of " + codes.shape() + " that this convolution did not allocate");
    }

    @Override
    public void quantize(Tensor x, ActivationCodes activations, int fromRow, int toRow) {
        CodePlanes.Codes to = own(activations);
        int channels = weight.inChannels();
        to.check(x, channels, fromRow, toRow);
        int width = to.shape().dim(2);
        for (int row = fromRow; row < toRow; row++) {
            int at = to.rowAt(row);
            CodePlanes.quantize(
                    grid, x.array(), x.offset() + row * width * channels, to.values, at * channels, width * channels);
            for (int i = at; i < at + width; i++) {
                float sum = 0;
                for (int c = 0; c < channels; c++) {
                    sum += to.values[i * channels + c];
                }
                to.pixelSums[i] = (int) sum;
            }
        }
    }

    @Override
    public void forward(ActivationCodes activations, boolean relu, Tensor y, int fromRow, int toRow) {
        CodePlanes.Codes from = own(activations);
        int in = weight.inChannels();
        int out = weight.outChannels();
        int kernel = weight.kernel();
        from.check(y, out, fromRow, toRow);
        int width = from.shape().dim(2);
        float[] sums = new float[width * out];
        boolean whole = rowsPerSum * tapsPerSum == kernel * kernel;
        int[] total = new int[whole ? 0 : sums.length];
        Panels panels = new Panels(from.values, codes, sums, new float[out]);
        panels.xStep = in;
        panels.xInner = 1;
        panels.xRow = from.paddedWidth * in;
        panels.wStep = out;
        panels.wRow = kernel * in * out;
        panels.yStep = out;
        panels.rows = rowsPerSum;
        panels.run = tapsPerSum * in;
        for (int row = fromRow; row < toRow; row++) {
            int first = from.firstTapAt(row);
            Arrays.fill(total, 0);
            for (int ky = 0; ky < kernel; ky += rowsPerSum) {
                for (int kx = 0; kx < kernel; kx += tapsPerSum) {
                    panels.run(
                            width, out, (first + ky * from.paddedWidth + kx) * in, (ky * kernel + kx) * in * out, 0, 0);
                    for (int i = 0; i < total.length; i++) {
                        total[i] += (int) sums[i];
                    }
                }
            }
            for (int i = 0; i < total.length; i++) {
                sums[i] = total[i];
            }
            CodePlanes.finish(affine, from, kernel, row, sums, out, relu, y);
        }
    }
}
