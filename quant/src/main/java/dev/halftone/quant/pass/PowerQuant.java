// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.SiteState;
import dev.halftone.quant.WeightOperand;
import dev.halftone.quant.format.Codebook;
import dev.halftone.tensor.PackedCodes;
import dev.halftone.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleUnaryOperator;

/**
 * Quantizes a power of the weights uniformly, which puts more levels near 0 (PowerQuant, Yvinec et al. 2023): {@code t = sign(w) |w|^a},
 * {@code s = max |t| / (2^(bits-1) - 1)} for each output, {@code k = round(t / s)}, and {@code k} stands for
 * {@code sign(k) (|k| s)^(1/a)}. The exponent is the one of least squared error, of all weights of the network together or of those of each
 * layer, by golden-section search. It needs no data. With 1 bit, where there is no {@code s}, the levels are plus and minus the mean magnitude.
 *
 * <p>The report has {@code exponent}.
 *
 * @param ofLayers whether every layer has an exponent of its own
 * @param scales of which each output takes the one of least squared error, from the one given above down to 0.3 of it; 1: that one
 */
public record PowerQuant(boolean ofLayers, int scales) implements Pass {
    private static final double LEAST_SCALE = 0.3;
    private static final double LEAST = 0.2;
    private static final double MOST = 1.5;
    private static final double TOLERANCE = 1e-2;

    /** Checks the range. */
    public PowerQuant {
        if (scales < 1) {
            throw new IllegalArgumentException("an output has at least 1 scale, not " + scales);
        }
    }

    @Override
    public String id() {
        return ofLayers ? "power-quant(layers, " + scales + " scales)" : "power-quant";
    }

    @Override
    public void apply(Quantization run) {
        List<SiteState> sites =
                run.sites().stream().filter(site -> !site.weights().isEmpty()).toList();
        for (List<SiteState> together : ofLayers ? sites.stream().map(List::of).toList() : List.of(sites)) {
            quantize(run, together);
        }
    }

    /** Gives the weights of some layers the same exponent. */
    private void quantize(Quantization run, List<SiteState> sites) {
        List<WeightOperand> weights =
                sites.stream().flatMap(site -> site.weights().stream()).toList();
        List<Tensor> values = weights.stream().map(WeightOperand::values).toList();
        double exponent = minimum(
                a -> {
                    double[] errors = new double[values.size()];
                    run.compute().forEachRange(errors.length, 1, (from, to) -> {
                        for (int i = from; i < to; i++) {
                            errors[i] = error(values.get(i), weights.get(i).bits(), a);
                        }
                    });
                    double sum = 0;
                    for (double error : errors) {
                        sum += error;
                    }
                    return sum;
                },
                LEAST,
                MOST,
                TOLERANCE);
        sites.forEach(site -> site.measure("exponent", exponent));
        for (int i = 0; i < values.size(); i++) {
            weights.get(i).quantize(quantize(values.get(i), weights.get(i).bits(), exponent, scales));
        }
    }

    private double error(Tensor w, int bits, double exponent) {
        float[] q = quantize(w, bits, exponent, scales).dequantize().array();
        double error = 0;
        for (int i = 0; i < q.length; i++) {
            double d = (double) w.array()[w.offset() + i] - q[i];
            error += d * d;
        }
        return error;
    }

    /** Returns the place of the minimum of a function that falls and then rises. */
    static double minimum(DoubleUnaryOperator f, double from, double to, double tolerance) {
        double golden = (Math.sqrt(5) - 1) / 2;
        double a = from;
        double b = to;
        double left = b - golden * (b - a);
        double right = a + golden * (b - a);
        double atLeft = f.applyAsDouble(left);
        double atRight = f.applyAsDouble(right);
        while (b - a > tolerance) {
            if (atLeft <= atRight) {
                b = right;
                right = left;
                atRight = atLeft;
                left = b - golden * (b - a);
                atLeft = f.applyAsDouble(left);
            } else {
                a = left;
                left = right;
                atLeft = atRight;
                right = a + golden * (b - a);
                atRight = f.applyAsDouble(right);
            }
        }
        return (a + b) / 2;
    }

    /** Returns the stored form of a weight {@code [..., out]}; scales are those of the largest magnitudes. */
    static Codebook quantize(Tensor w, int bits, double exponent) {
        return quantize(w, bits, exponent, 1);
    }

    /** Returns the stored form of a weight {@code [..., out]} with the best of so many scales for each output. */
    static Codebook quantize(Tensor w, int bits, double exponent, int scales) {
        int out = w.dim(-1);
        int most = Math.max(1, (1 << (bits - 1)) - 1);
        Tensor levels = Tensor.zeros(1 << bits);
        for (int code = 0; code < levels.size(); code++) {
            int k = Math.min(code - most, most); // of an even number of codes, the last one is not used
            double size = Math.pow((double) Math.abs(k) / most, 1 / exponent);
            levels.set((float) (bits == 1 ? 2 * code - 1 : Math.signum(k) * size), code);
        }
        Tensor scale = Tensor.zeros(1, out);
        for (int i = 0; i < w.size(); i++) {
            float magnitude = Math.abs(w.array()[w.offset() + i]);
            float so = scale.array()[i % out];
            scale.array()[i % out] = bits == 1 ? so + magnitude * out / w.size() : Math.max(so, magnitude);
        }
        double[] powers = new double[w.size()];
        for (int i = 0; i < powers.length; i++) {
            double size = Math.abs(w.array()[w.offset() + i]) / Math.max(scale.array()[i % out], Float.MIN_NORMAL);
            powers[i] = most * Math.pow(size, exponent);
        }
        double[] factors = new double[out];
        Arrays.fill(factors, 1);
        double[] least = new double[out];
        Arrays.fill(least, Double.POSITIVE_INFINITY);
        for (int step = 0; bits > 1 && step < scales; step++) {
            double factor = scales == 1 ? 1 : 1 - (1 - LEAST_SCALE) * step / (scales - 1);
            double[] errors = new double[out];
            for (int i = 0; i < powers.length; i++) {
                int k = index(powers[i], factor, exponent, most);
                double level = factor * scale.array()[i % out] * levels.get(most + k);
                double d = Math.abs(w.array()[w.offset() + i]) - level;
                errors[i % out] += d * d;
            }
            for (int o = 0; o < out; o++) {
                if (errors[o] < least[o]) {
                    least[o] = errors[o];
                    factors[o] = factor;
                }
            }
        }
        byte[] codes = new byte[w.size()];
        for (int i = 0; i < codes.length; i++) {
            float v = w.array()[w.offset() + i];
            int k = bits == 1 ? 0 : index(powers[i], factors[i % out], exponent, most);
            codes[i] = (byte) (bits == 1 ? (v >= 0 ? 1 : 0) : most + (v < 0 ? -k : k));
        }
        for (int o = 0; o < out; o++) {
            scale.array()[o] *= (float) factors[o];
        }
        return new Codebook(w.shape(), PackedCodes.pack(codes, bits), levels, scale, null);
    }

    /** Returns the number of steps that a power is rounded to where the scale is multiplied by a factor. */
    private static int index(double power, double factor, double exponent, int most) {
        return (int) Math.min(most, Math.rint(factor == 1 ? power : power / Math.pow(factor, exponent)));
    }
}
