// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.nn.Child;
import dev.halftone.nn.Graph;
import dev.halftone.nn.Module;
import dev.halftone.nn.Site.Role;
import dev.halftone.nn.Value;
import dev.halftone.quant.InputOperand;
import dev.halftone.quant.IntegerConv2d;
import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.SiteState;
import dev.halftone.quant.format.FullPrecision;
import dev.halftone.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Has convolutions executed in integers alone: sums and biases of 32 bits, and where the ReLU of a convolution's output is the next one's
 * input, codes in the place of fp32 between the two, by dyadic factors ({@link IntegerConv2d}). Which those are is seen on the first calibration
 * batch; that nothing else reads such an output is taken for granted. Grids must have levels at 0 ({@link ConstrainBounds}). The report has for
 * each layer {@code integer}: the bits of the codes of its output, or 32 where fp32 follows.
 */
public record IntegerOnly() implements Pass {
    /** Shows what a layer gets and gives. */
    private static final class Watch extends Module {
        private final Child layer;
        private @Nullable Tensor input;
        private @Nullable Tensor output;

        Watch(Module layer) {
            this.layer = child("layer", layer);
        }

        @Override
        public Value forward(Value x) {
            Value y = layer.forward(x);
            input = x.tensor();
            output = y.tensor();
            return y;
        }

        /** Returns whether this layer's input is the ReLU of another's output. */
        boolean isBehindReluOf(Watch other) {
            Tensor x = input;
            Tensor y = other.output;
            if (x == null || y == null || !x.shape().equals(y.shape())) {
                return false;
            }
            for (int i = 0; i < x.size(); i++) {
                if (x.array()[x.offset() + i] != Math.max(y.array()[y.offset() + i], 0)) {
                    return false;
                }
            }
            return true;
        }
    }

    @Override
    public String id() {
        return "integer-only";
    }

    @Override
    public void apply(Quantization run) {
        run.requireQuantizedActivations(this);
        List<SiteState> sites = run.sites().stream()
                .filter(site -> site.site().role() == Role.CONV)
                .toList();
        if (sites.isEmpty()) {
            throw new IllegalArgumentException(
                    "only convolutions are executed in integers alone, and none is in scope");
        }
        List<Watch> watches = watch(run, sites);
        for (int i = 0; i < sites.size(); i++) {
            boolean followed = i + 1 < sites.size() && watches.get(i + 1).isBehindReluOf(watches.get(i));
            InputOperand next = followed ? sites.get(i + 1).inputs().getFirst() : null;
            sites.get(i).executeInIntegers(next);
            sites.get(i).measure(IntegerConv2d.TAG, next == null ? FullPrecision.BITS : next.bits());
        }
    }

    private static List<Watch> watch(Quantization run, List<SiteState> sites) {
        List<Watch> watches = new ArrayList<>();
        try {
            for (SiteState site : sites) {
                Watch watch = new Watch(site.site().slot().module());
                site.replace(watch);
                watches.add(watch);
            }
            run.network().forward(Graph.eager(run.compute()).constant(run.batch(0)));
        } finally {
            sites.forEach(SiteState::restore);
        }
        return watches;
    }
}
