// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.tensor.PackedCodes;
import dev.halftone.tensor.Tensor;
import java.util.List;
import java.util.function.DoubleUnaryOperator;

/**
 * Quantizes a power of the weights uniformly, which puts more levels near 0 (PowerQuant, Yvinec et al. 2023): {@code t = sign(w) |w|^a},
 * {@code s = max |t| / (2^(bits-1) - 1)} for each output, {@code k = round(t / s)}, and {@code k} stands for
 * {@code sign(k) (|k| s)^(1/a)}. The exponent is one for the whole network, that of least squared error of all weights, by
 * golden-section search. It needs no data. With 1 bit, where there is no {@code s}, the levels are plus and minus the mean magnitude.
 *
 * <p>The report has {@code exponent}.
 */
public record PowerQuant() implements Pass {
    private static final double LEAST = 0.2;
    private static final double MOST = 1.5;
    private static final double TOLERANCE = 1e-2;

    @Override
    public String id() {
        return "power-quant";
    }

    @Override
    public void apply(Quantization run) {
        List<WeightOperand> weights =
                run.sites().stream().flatMap(site -> site.weights().stream()).toList();
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
        run.sites().forEach(site -> site.measure("exponent", exponent));
        run.storeWeights((weight, _) -> quantize(weight.values(), weight.bits(), exponent));
    }

    private static double error(Tensor w, int bits, double exponent) {
        float[] q = quantize(w, bits, exponent).dequantize().array();
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

    /** Returns the stored form of a weight {@code [..., out]}. */
    static Codebook quantize(Tensor w, int bits, double exponent) {
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
        byte[] codes = new byte[w.size()];
        for (int i = 0; i < codes.length; i++) {
            float v = w.array()[w.offset() + i];
            double t = Math.pow(Math.abs(v) / Math.max(scale.array()[i % out], Float.MIN_NORMAL), exponent);
            codes[i] = (byte) (bits == 1 ? (v >= 0 ? 1 : 0) : most + Math.rint(Math.copySign(t, v) * most));
        }
        return new Codebook(w.shape(), PackedCodes.pack(codes, bits), levels, scale, null);
    }
}
