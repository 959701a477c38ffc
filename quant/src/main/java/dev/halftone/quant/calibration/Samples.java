// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.calibration;

import dev.halftone.tensor.Levels;
import dev.halftone.tensor.Tensor;
import java.util.Arrays;

/** All values, exactly: for weights, and wherever the data is at hand at once. */
public final class Samples implements Distribution {
    private final String name;
    private final float[] values;

    private Samples(String name, float[] values) {
        this.name = name;
        this.values = values;
        for (int i = 0; i < values.length; i++) {
            Histogram.requireFinite(name, values[i]);
        }
    }

    /**
     * Returns all elements of a tensor.
     *
     * @param name named in errors
     * @throws IllegalArgumentException naming the tensor, if a value is NaN or infinite
     */
    public static Samples of(String name, Tensor tensor) {
        return new Samples(name, tensor.toArray());
    }

    /**
     * Returns the elements of one channel, the innermost dimension of a tensor.
     *
     * @param name the tensor's name; errors add the channel
     * @throws IllegalArgumentException naming the tensor and the channel, if a value is NaN or infinite
     */
    public static Samples ofChannel(String name, Tensor tensor, int channel) {
        int channels = tensor.dim(-1);
        float[] values = new float[tensor.size() / channels];
        for (int i = 0; i < values.length; i++) {
            values[i] = tensor.array()[tensor.offset() + i * channels + channel];
        }
        return new Samples(name + " channel " + channel, values);
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public long count() {
        return values.length;
    }

    @Override
    public float min() {
        Histogram.requireValues(this);
        float min = values[0];
        for (float v : values) {
            min = Math.min(min, v);
        }
        return min;
    }

    @Override
    public float max() {
        Histogram.requireValues(this);
        float max = values[0];
        for (float v : values) {
            max = Math.max(max, v);
        }
        return max;
    }

    @Override
    public float quantile(double p) {
        Histogram.requireValues(this);
        float[] sorted = values.clone();
        Arrays.sort(sorted);
        double rank = p * (sorted.length - 1);
        int below = (int) rank;
        int above = Math.min(below + 1, sorted.length - 1);
        return (float) (sorted[below] + (rank - below) * ((double) sorted[above] - sorted[below]));
    }

    /** {@inheritDoc} The differences are float32, as every fake quantizer makes them, and their squares add up in double. */
    @Override
    public double squaredError(Levels levels) {
        double sum = 0;
        for (float v : values) {
            double difference = v - levels.level(levels.code(v));
            sum += difference * difference;
        }
        return sum;
    }

    @Override
    public Histogram histogram() {
        Histogram histogram = new Histogram(name);
        histogram.add(Tensor.of(values, values.length));
        return histogram;
    }
}
