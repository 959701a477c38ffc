// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.SiteState;
import dev.halftone.quant.WeightOperand;
import dev.halftone.quant.format.BoundForm;
import dev.halftone.quant.format.UniformQuantizer;
import java.util.Locale;

/**
 * Gives the bounds that were chosen a form, which training keeps from here on.
 *
 * @param weights of the bounds of weights
 * @param inputs of the bounds of inputs, those excepted that are not quantized uniformly
 */
public record ConstrainBounds(BoundForm weights, BoundForm inputs) implements Pass {
    @Override
    public String id() {
        return "constrain-bounds(weights " + name(weights) + ", inputs " + name(inputs) + ")";
    }

    private static String name(BoundForm form) {
        return form.name().toLowerCase(Locale.ROOT).replace('_', ' ');
    }

    @Override
    public void apply(Quantization run) {
        for (SiteState site : run.sites()) {
            site.constrain(weights, inputs);
            for (WeightOperand weight : site.weights()) {
                weight.quantize(weights.of(weight.quantizer()));
            }
            for (InputOperand input : site.inputs()) {
                if (input.quantizer() instanceof UniformQuantizer uniform) {
                    input.quantize(inputs.of(uniform), input.error());
                }
            }
        }
    }
}
