// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.PackedCodes;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/** A seeded quantized convolution: sizes, codes and coefficients, with a naive oracle. */
public record QuantizedConvCase(
        int batch,
        int height,
        int width,
        int in,
        int out,
        int kernel,
        int weightBits,
        int activationBits,
        Fill fill,
        long seed) {
    /** How the codes are drawn. */
    public enum Fill {
        RANDOM,
        ALL_MAX,
        ALL_ZERO
    }

    public UniformGrid grid() {
        RandomGenerator r = new SplittableRandom(seed);
        float lower = r.nextFloat(-2, 0.5f);
        return new UniformGrid(activationBits, lower, lower + r.nextFloat(0.1f, 3));
    }

    public byte[] weightCodes() {
        return codes(kernel * kernel * in * out, weightBits, 1);
    }

    public byte[] activationCodes() {
        return codes(batch * height * width * in, activationBits, 2);
    }

    private byte[] codes(int n, int bits, int salt) {
        byte[] codes = new byte[n];
        switch (fill) {
            case ALL_ZERO -> {}
            case ALL_MAX -> Arrays.fill(codes, (byte) ((1 << bits) - 1));
            case RANDOM -> {
                RandomGenerator r = new SplittableRandom(seed * 31 + salt);
                for (int i = 0; i < n; i++) {
                    codes[i] = (byte) r.nextInt(1 << bits);
                }
            }
        }
        return codes;
    }

    public QuantizedConvWeight weight() {
        RandomGenerator r = new SplittableRandom(seed * 31 + 3);
        Tensor scale = Tensor.zeros(out);
        Tensor lower = Tensor.zeros(out);
        Tensor bias = Tensor.zeros(out);
        for (int c = 0; c < out; c++) {
            scale.set(r.nextFloat(1e-3f, 0.3f), c);
            lower.set(r.nextFloat(-0.7f, 0.2f), c);
            bias.set(r.nextFloat(-1, 1), c);
        }
        return new QuantizedConvWeight(
                kernel,
                in,
                out,
                PackedCodes.pack(weightCodes(), weightBits),
                scale,
                lower,
                seed % 5 == 0 ? null : bias,
                normalization());
    }

    /** Every third case normalises its input. */
    private @Nullable ChannelNormalization normalization() {
        if (seed % 3 != 1) {
            return null;
        }
        RandomGenerator r = new SplittableRandom(seed * 31 + 4);
        Tensor offset = Tensor.zeros(in);
        Tensor gain = Tensor.zeros(in);
        for (int c = 0; c < in; c++) {
            offset.set(r.nextFloat(-1, 1), c);
            gain.set(r.nextFloat(0.3f, 3), c);
        }
        return new ChannelNormalization(offset, gain);
    }

    /** Returns an input whose codes are {@link #activationCodes}. */
    public Tensor input() {
        byte[] codes = activationCodes();
        Tensor x = Tensor.zeros(batch, height, width, in);
        ChannelNormalization normalization = normalization();
        for (int i = 0; i < codes.length; i++) {
            float level = grid().level(codes[i] & 0xFF);
            x.array()[i] = normalization == null
                    ? level
                    : level / normalization.gain().get(i % in)
                            + normalization.offset().get(i % in);
        }
        return x;
    }

    /** Returns the convolution of the levels in double precision, straight from its definition. */
    public double[] oracle() {
        return convolve(false);
    }

    /** Returns the convolution of the levels' absolute values: the scale of the rounding errors of {@link #oracle}. */
    public double[] magnitude() {
        return convolve(true);
    }

    private double[] convolve(boolean absolute) {
        UniformGrid grid = grid();
        QuantizedConvWeight weight = weight();
        ChannelNormalization normalization = normalization();
        byte[] w = weightCodes();
        byte[] x = activationCodes();
        double[] y = new double[batch * height * width * out];
        int at = 0;
        for (int n = 0; n < batch; n++) {
            for (int row = 0; row < height; row++) {
                for (int column = 0; column < width; column++) {
                    for (int c = 0; c < out; c++) {
                        double sum = weight.bias() == null ? 0 : weight.bias().get(c);
                        for (int ky = 0; ky < kernel; ky++) {
                            for (int kx = 0; kx < kernel; kx++) {
                                int iy = row + ky - kernel / 2;
                                int ix = column + kx - kernel / 2;
                                if (iy < 0 || iy >= height || ix < 0 || ix >= width) {
                                    continue;
                                }
                                for (int ci = 0; ci < in; ci++) {
                                    int qx = x[((n * height + iy) * width + ix) * in + ci] & 0xFF;
                                    int qw = w[((ky * kernel + kx) * in + ci) * out + c] & 0xFF;
                                    double sx = (double) grid.scale() * qx;
                                    double sw = (double) weight.scale().get(c) * qw;
                                    double shift = normalization == null ? 0 : normalization.shift(ci);
                                    double lx = grid.lower() + shift;
                                    double lw = weight.lower().get(c);
                                    sum = absolute
                                            ? Math.abs(sum)
                                                    + (sx + Math.abs(grid.lower()) + Math.abs(shift))
                                                            * (sw + Math.abs(lw))
                                            : sum + (sx + lx) * (sw + lw);
                                }
                            }
                        }
                        y[at++] = sum;
                    }
                }
            }
        }
        return y;
    }
}
