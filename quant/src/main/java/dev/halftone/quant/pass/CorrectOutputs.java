// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.nn.Graph;
import dev.halftone.quant.Pass;
import dev.halftone.quant.QuantizableLayer;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.SiteState;
import dev.halftone.quant.WeightOperand;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.ArrayList;
import java.util.List;

/**
 * Takes back what quantization does to the outputs of each layer on average (the global affine correction of PTQ4VM's summary): every output
 * channel {@code y} of the quantized layer becomes {@code g y + s}, where
 *
 * <pre>{@code  g = cov(Y, y) / var(y),   s = mean(F) - g mean(y)}</pre>
 *
 * on the calibration images. {@code Y} is what the layer in fp32 answers to the same input, {@code F} what it answers in the fp32 network:
 * {@code g} is the least squares for the error of the layer itself, {@code s} takes back the drift of all layers before it too. Gains against
 * {@code F} would be smaller, as whatever went wrong before does not correlate with it, and shrink the signal from layer to layer: on
 * EDSR, 8 x 64, they cost 0.3 dB at 2 bits, where these gain. Layers are corrected one after the other, each on what the corrected ones before
 * it leave. {@code g} is folded into the grids of the weights and {@code s} into the bias, so the layer has the same codes and costs the
 * same; it is kept positive.
 *
 * <p>The report has {@code uncorrected} and {@code corrected}, the squared errors of a layer's outputs relative to the fp32 network's. The
 * passes before must leave the outputs of layers as they are, up to rounding.
 */
public record CorrectOutputs() implements Pass {
    private static final double LEAST_GAIN = 1e-3;

    /**
     * What a channel becomes.
     *
     * @param gain positive
     */
    record Affine(double gain, double shift) {
        /**
         * Returns the correction of every {@code stride}-th value from {@code channel} on.
         *
         * @param own what the values should be for the gain
         * @param full what their mean should be
         */
        static Affine of(Tensor own, Tensor full, Tensor given, int channel, int stride) {
            double meanOwn = mean(own, channel, stride);
            double meanGiven = mean(given, channel, stride);
            double covariance = 0;
            double variance = 0;
            for (int i = channel; i < given.size(); i += stride) {
                double d = given.array()[given.offset() + i] - meanGiven;
                covariance += d * (own.array()[own.offset() + i] - meanOwn);
                variance += d * d;
            }
            // The error is a parabola of the gain: the allowed gain next to the best one is better than 1 still.
            double gain = variance > 0 ? Math.max(covariance / variance, LEAST_GAIN) : 1;
            return new Affine(gain, mean(full, channel, stride) - gain * meanGiven);
        }

        private static double mean(Tensor t, int channel, int stride) {
            double sum = 0;
            int n = 0;
            for (int i = channel; i < t.size(); i += stride) {
                sum += t.array()[t.offset() + i];
                n++;
            }
            return sum / n;
        }
    }

    @Override
    public String id() {
        return "correct-outputs";
    }

    @Override
    public void apply(Quantization run) {
        SequentialWalk.visit(run, SequentialWalk.layers(run), run.images(), (unit, x, full) -> {
            SiteState site = unit.sites().getFirst();
            Tensor before = answer(run, site, x);
            if (site.layer().biases().isEmpty()) {
                return before;
            }
            Tensor own = full.module()
                    .forward(Graph.eager(run.compute()).constant(x))
                    .tensor();
            Affine[] all = new Affine[before.dim(-1)];
            run.compute().forEachRange(all.length, 1, (from, to) -> {
                for (int c = from; c < to; c++) {
                    all[c] = Affine.of(own, full.output(), before, c, all.length);
                }
            });
            for (int i = 0; i < site.weights().size(); i++) {
                QuantizableLayer.Weight bias = site.layer().biases().get(i);
                correct(site.weights().get(i), bias, List.of(all).subList(bias.from(), bias.to()));
            }
            Tensor after = answer(run, site, x);
            site.measure("uncorrected", relativeError(full.output(), before));
            site.measure("corrected", relativeError(full.output(), after));
            return after;
        });
    }

    private static Tensor answer(Quantization run, SiteState site, Tensor x) {
        return site.fake().forward(Graph.eager(run.compute()).constant(x)).tensor();
    }

    /** Folds corrections into a weight and its bias. */
    static void correct(WeightOperand weight, QuantizableLayer.Weight bias, List<Affine> by) {
        Tensor w = weight.values();
        UniformQuantizer quantizer = weight.quantizer();
        List<UniformGrid> grids = new ArrayList<>();
        for (int c = 0; c < by.size(); c++) {
            UniformGrid grid = quantizer.grid(c);
            double gain = by.get(c).gain();
            grids.add(new UniformGrid(grid.bits(), (float) (gain * grid.lower()), (float) (gain * grid.upper())));
        }
        // The levels themselves, so that the codes stay what they were.
        for (int i = 0; i < w.size(); i++) {
            int c = i % by.size();
            w.array()[i] = grids.get(c).level(quantizer.grid(c).code(w.array()[i]));
        }
        weight.setValues(w);
        weight.quantize(new UniformQuantizer(grids));
        Tensor b = bias.values();
        for (int c = 0; c < by.size(); c++) {
            b.array()[c] = (float) (by.get(c).gain() * b.array()[c] + by.get(c).shift());
        }
        bias.set(b);
    }

    private static double relativeError(Tensor wanted, Tensor given) {
        double error = 0;
        double power = 0;
        for (int i = 0; i < wanted.size(); i++) {
            double v = wanted.array()[wanted.offset() + i];
            double d = v - given.array()[given.offset() + i];
            error += d * d;
            power += v * v;
        }
        return error / Math.max(power, Double.MIN_NORMAL);
    }
}
