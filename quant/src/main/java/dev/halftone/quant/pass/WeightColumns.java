// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.format.BinaryCoding;
import dev.halftone.tensor.PackedCodes;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.util.List;

/** A weight as one vector for each output: its taps of channels. */
record WeightColumns(Shape shape, double[][] columns) {
    static WeightColumns of(Tensor weight) {
        int out = weight.dim(-1);
        double[][] columns = new double[out][weight.size() / out];
        for (int i = 0; i < weight.size(); i++) {
            columns[i % out][i / out] = weight.array()[weight.offset() + i];
        }
        return new WeightColumns(weight.shape(), columns);
    }

    int out() {
        return columns.length;
    }

    int rows() {
        return columns[0].length;
    }

    double[] column(int output) {
        return columns[output];
    }

    /** Returns the stored form of one fit for each output, all of as many planes. */
    BinaryCoding binaryCoding(List<BinaryFit> fits) {
        int planes = fits.getFirst().planes();
        Tensor scale = Tensor.zeros(planes, 1, out());
        Tensor offset = Tensor.zeros(1, 1, out());
        byte[] codes = new byte[shape.size()];
        for (int o = 0; o < out(); o++) {
            BinaryFit fit = fits.get(o);
            offset.set((float) fit.offset(), 0, 0, o);
            for (int p = 0; p < planes; p++) {
                scale.set((float) fit.scale(p), p, 0, o);
            }
            for (int r = 0; r < rows(); r++) {
                codes[r * out() + o] = (byte) fit.code(r);
            }
        }
        return new BinaryCoding(shape, planes, PackedCodes.pack(codes, planes), scale, null, offset);
    }
}
