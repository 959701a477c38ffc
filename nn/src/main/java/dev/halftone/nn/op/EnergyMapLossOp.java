// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * How differently the energy of two feature maps {@code [..., C]} lies in space: the scalar
 *
 * <pre>{@code  scale * sum_n sum_p (a_np / |a_n| - b_np / |b_n|)^2,    a_np = sum_c x_npc^2 }</pre>
 *
 * over samples {@code n}, the first dimension, and positions {@code p}, all others but the innermost. This is the "structured knowledge
 * transfer" of PAMS (Li et al. 2020, equation 7) and the feature loss of PTQ4SR (Tu et al. 2023); neither depends on the length of {@code a}.
 */
public record EnergyMapLossOp(float scale) implements Op {
    @Override
    public Shape outputShape(Shape... inputs) {
        if (!inputs[0].equals(inputs[1]) || inputs[0].rank() < 2) {
            throw new IllegalArgumentException("energy map loss: shapes " + inputs[0] + " and " + inputs[1]
                    + " are not two feature maps of one shape");
        }
        return Shape.of();
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        double[] distances = new double[inputs[0].dim(0)];
        compute.forEachRange(distances.length, 1, (from, to) -> {
            for (int n = from; n < to; n++) {
                double[] a = Unit.of(inputs[0], n).map;
                double[] b = Unit.of(inputs[1], n).map;
                for (int p = 0; p < a.length; p++) {
                    distances[n] += (a[p] - b[p]) * (a[p] - b[p]);
                }
            }
        });
        double sum = 0;
        for (double d : distances) {
            sum += d;
        }
        output.fill((float) (scale * sum));
    }

    /** The energy map of a sample at unit length; all zeros where the sample is. */
    private record Unit(double[] map, double length) {
        static Unit of(Tensor x, int sample) {
            int channels = x.dim(-1);
            double[] map = new double[x.size() / x.dim(0) / channels];
            double squares = 0;
            int at = x.offset() + sample * map.length * channels;
            for (int p = 0; p < map.length; p++) {
                for (int c = 0; c < channels; c++) {
                    double v = x.array()[at++];
                    map[p] += v * v;
                }
                squares += map[p] * map[p];
            }
            double length = Math.max(Math.sqrt(squares), Double.MIN_NORMAL);
            for (int p = 0; p < map.length; p++) {
                map[p] /= length;
            }
            return new Unit(map, length);
        }
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        double step = (double) gradient.item() * scale;
        return new @Nullable Tensor[] {
            wanted[0] ? backward(compute, inputs[0], inputs[1], step) : null,
            wanted[1] ? backward(compute, inputs[1], inputs[0], step) : null
        };
    }

    /** With {@code e = a - b} for unit maps, {@code dL/dx_pc = 4 x_pc (e_p - (e . a) a_p) / length}. */
    private static Tensor backward(Compute compute, Tensor x, Tensor other, double step) {
        Tensor dx = Tensor.zeros(x.shape());
        int channels = x.dim(-1);
        compute.forEachRange(x.dim(0), 1, (from, to) -> {
            for (int n = from; n < to; n++) {
                Unit a = Unit.of(x, n);
                double[] b = Unit.of(other, n).map;
                double along = 0;
                for (int p = 0; p < b.length; p++) {
                    along += (a.map[p] - b[p]) * a.map[p];
                }
                int first = n * b.length * channels;
                for (int i = 0; i < b.length * channels; i++) {
                    int p = i / channels;
                    double slope = (a.map[p] - b[p] - along * a.map[p]) / a.length;
                    dx.array()[first + i] = (float) (4 * step * slope * x.array()[x.offset() + first + i]);
                }
            }
        });
        return dx;
    }
}
