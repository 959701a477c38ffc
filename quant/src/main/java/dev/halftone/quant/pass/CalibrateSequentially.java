// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.nn.Graph;
import dev.halftone.nn.Value;
import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Pass;
import dev.halftone.quant.QuantizableLayer;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.SiteState;
import dev.halftone.quant.calibration.Calibrator;
import dev.halftone.quant.calibration.Histogram;
import dev.halftone.quant.calibration.Tails;
import dev.halftone.quant.format.FullPrecision;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;

/**
 * Chooses the bounds of every input, one grid for the tensor, from what it will really be: what the quantized layers before it compute on the
 * calibration images (cross-block calibration of CLQ; {@link CalibrateActivations} looks at the fp32 network). Weights must have been
 * quantized.
 *
 * @param calibrator how
 */
public record CalibrateSequentially(Calibrator calibrator) implements Pass {
    @Override
    public String id() {
        return "calibrate-sequentially(" + calibrator.id() + ", per-tensor)";
    }

    @Override
    public void apply(Quantization run) {
        SequentialWalk.visit(run, SequentialWalk.layers(run), run.images(), (unit, x, full) -> {
            SiteState site = unit.sites().getFirst();
            site.layer().forward(Graph.eager(run.compute()).constant(x), new QuantizableLayer.Operands() {
                @Override
                public Value input(int index, Value v) {
                    choose(site.inputs().get(index), v.tensor());
                    return v;
                }

                @Override
                public Value weight(int index, Value w) {
                    return w;
                }
            });
            return site.fake().forward(Graph.eager(run.compute()).constant(x)).tensor();
        });
    }

    private void choose(InputOperand input, Tensor values) {
        if (input.bits() == FullPrecision.BITS) {
            return;
        }
        Histogram seen = new Histogram("the input of " + input.name());
        seen.add(values);
        Tails tails = seen.min() == 0 ? Tails.UPPER : input.tails();
        UniformGrid grid = calibrator.calibrate(seen, input.bits(), tails);
        input.quantize(UniformQuantizer.perTensor(grid), CalibrateActivations.relativeError(seen, grid));
    }
}
