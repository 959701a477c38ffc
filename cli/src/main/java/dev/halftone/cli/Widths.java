// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.SuperResolutionNetwork;
import dev.halftone.nn.Child;
import dev.halftone.quant.BitOperations;
import dev.halftone.quant.Quantization.LayerReport;
import dev.halftone.quant.QuantizedLayer;
import java.util.List;

/**
 * The bits of a quantized network's codes.
 *
 * @param label what users call it, for example {@code w2a4}
 * @param weight of a weight
 * @param activation of an input
 */
record Widths(String label, Number weight, Number activation) {
    /** Returns the widths that are the same for all layers. */
    static Widths of(Bits bits) {
        return new Widths(bits.toString(), bits.weight(), bits.activation());
    }

    /** Returns the averages of layers with bits of their own: of all weights, and of inputs as often as they are multiplied. */
    static Widths mean(
            String label, SuperResolutionNetwork network, List<LayerReport> layers, BitOperations operations) {
        double bits = 0;
        double weights = 0;
        for (Child slot : network.module().descendants().values()) {
            if (slot.module() instanceof QuantizedLayer layer) {
                double size = layer.stored().shape().size();
                bits += layer.stored().bits() * size;
                weights += size;
            }
        }
        double inputs = 0;
        double uses = 0;
        for (LayerReport layer : layers) {
            double own = operations.layers().getOrDefault(layer.name(), 0.0);
            inputs += own * layer.activationBits();
            uses += own;
        }
        return new Widths(label, rounded(bits / weights), rounded(inputs / uses));
    }

    private static double rounded(double bits) {
        return Math.round(bits * 1000) / 1000.0;
    }
}
