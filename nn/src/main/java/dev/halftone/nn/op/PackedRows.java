// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.ActivationCodes;
import dev.halftone.tensor.kernels.ConvOutput;
import dev.halftone.tensor.kernels.PackedConv;

/** A packed linear layer, which is a convolution of kernel 1, with memory for the codes of some rows. */
final class PackedRows {
    private final QuantizedConv2dOp layer;
    private final ActivationCodes codes;

    /** Allocates memory for {@code rows} rows. */
    PackedRows(QuantizedConv2dOp layer, int rows) {
        this.layer = layer;
        codes = layer.conv().allocate(1, 1, rows);
    }

    /** Returns the shape of a layer's outputs for inputs {@code [.., C]}. */
    static Shape outputShape(QuantizedConv2dOp layer, Shape x) {
        layer.outputShape(Shape.of(1, 1, 1, x.dim(-1)));
        if (layer.conv().kernel() != 1) {
            throw new IllegalArgumentException(
                    "rows have no neighbours for a kernel of " + layer.conv().kernel());
        }
        return x.with(-1, layer.outChannels());
    }

    int outChannels() {
        return layer.outChannels();
    }

    /**
     * Computes {@code y = layer(x)}.
     *
     * @param turned {@code x} with the channels first, {@code [C, rows]}
     * @param y {@code [rows, ..]}
     */
    void run(Tensor turned, Tensor y) {
        int rows = turned.dim(1);
        PackedConv conv = layer.conv();
        ActivationCodes own = codes.shape().dim(2) == rows ? codes : conv.allocate(1, 1, rows);
        conv.quantizeTurned(turned.array(), turned.offset(), own);
        conv.forward(own, ConvOutput.of(false, y.reshape(1, 1, rows, layer.outChannels())), 0, 1);
    }

    /** Puts the channels first: {@code rows [n, C]} to {@code turned [C, n]}. */
    static void turn(Tensor rows, Tensor turned) {
        int n = rows.dim(0);
        int channels = rows.dim(1);
        for (int i = 0; i < n; i++) {
            int from = rows.offset() + i * channels;
            int to = turned.offset() + i;
            for (int c = 0; c < channels; c++) {
                turned.array()[to + c * n] = rows.array()[from + c];
            }
        }
    }
}
