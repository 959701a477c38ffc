// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Layer normalisation (Ba et al. 2016) over the innermost dimension: operands {@code x [..., C]}, {@code weight [C]} and
 * {@code bias [C]}; each row becomes {@code (x - mean) / sqrt(variance + epsilon) * weight + bias} with the biased variance.
 */
public record LayerNormOp(float epsilon) implements Op {
    /** Rows whose weight gradients are summed as one, so that the order of the sum does not depend on the threads. */
    private static final int BLOCK = 256;

    @Override
    public Shape outputShape(Shape... inputs) {
        Shape x = inputs[0];
        if (x.rank() == 0 || !inputs[1].equals(Shape.of(x.dim(-1))) || !inputs[2].equals(inputs[1])) {
            throw new IllegalArgumentException(
                    "layer norm: weight " + inputs[1] + " and bias " + inputs[2] + " do not fit input " + x);
        }
        return x;
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        int channels = inputs[1].size();
        float[] x = inputs[0].array();
        float[] y = output.array();
        float[] weight = inputs[1].array();
        float[] bias = inputs[2].array();
        int weightAt = inputs[1].offset();
        int biasAt = inputs[2].offset();
        compute.forEachRange(rows(inputs), (from, to) -> {
            for (int row = from; row < to; row++) {
                int xAt = inputs[0].offset() + row * channels;
                int yAt = output.offset() + row * channels;
                double mean = mean(x, xAt, channels);
                double scale = scale(x, xAt, channels, mean);
                for (int c = 0; c < channels; c++) {
                    y[yAt + c] = (float) ((x[xAt + c] - mean) * scale) * weight[weightAt + c] + bias[biasAt + c];
                }
            }
        });
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        int channels = inputs[1].size();
        int rows = rows(inputs);
        float[] x = inputs[0].array();
        float[] dy = gradient.array();
        float[] weight = inputs[1].array();
        int weightAt = inputs[1].offset();
        Tensor dx = Tensor.zeros(inputs[0].shape());
        double[][] dWeight = new double[rows / BLOCK + 1][channels];
        double[][] dBias = new double[rows / BLOCK + 1][channels];
        compute.forEachRange(rows, BLOCK, (from, to) -> {
            double[] blockWeight = dWeight[from / BLOCK];
            double[] blockBias = dBias[from / BLOCK];
            for (int row = from; row < to; row++) {
                int xAt = inputs[0].offset() + row * channels;
                int dyAt = gradient.offset() + row * channels;
                double mean = mean(x, xAt, channels);
                double scale = scale(x, xAt, channels, mean);
                double sum = 0;
                double product = 0;
                for (int c = 0; c < channels; c++) {
                    double normal = (x[xAt + c] - mean) * scale;
                    double d = dy[dyAt + c];
                    blockWeight[c] += d * normal;
                    blockBias[c] += d;
                    sum += d * weight[weightAt + c];
                    product += d * weight[weightAt + c] * normal;
                }
                for (int c = 0; c < channels; c++) {
                    double normal = (x[xAt + c] - mean) * scale;
                    double d = (double) dy[dyAt + c] * weight[weightAt + c];
                    dx.array()[row * channels + c] = (float) (scale * (d - (sum + normal * product) / channels));
                }
            }
        });
        return new @Nullable Tensor[] {
            wanted[0] ? dx : null, wanted[1] ? Ranges.total(dWeight) : null, wanted[2] ? Ranges.total(dBias) : null
        };
    }

    private static int rows(Tensor[] inputs) {
        return inputs[0].size() / Math.max(1, inputs[1].size());
    }

    private static double mean(float[] x, int at, int channels) {
        double sum = 0;
        for (int c = 0; c < channels; c++) {
            sum += x[at + c];
        }
        return sum / channels;
    }

    private double scale(float[] x, int at, int channels, double mean) {
        double sum = 0;
        for (int c = 0; c < channels; c++) {
            double d = x[at + c] - mean;
            sum += d * d;
        }
        return 1 / Math.sqrt(sum / channels + epsilon);
    }
}
