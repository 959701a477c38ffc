// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.nn.AttentionProducts;
import dev.halftone.nn.Module;
import dev.halftone.nn.Site;
import dev.halftone.quant.Quantization.LayerReport;
import java.util.List;
import java.util.stream.Stream;

/**
 * How layers that have weights run; an attention's queries, keys and values are one layer.
 *
 * @param layers all of the network
 * @param packed those that run on packed codes
 * @param dequantized those that are quantized and compute in fp32, at least in part; what is left is fp32
 */
record Execution(int layers, int packed, int dequantized) {
    /** Counts the layers of an fp32 network that became of it what the reports say. */
    static Execution of(Module network, List<LayerReport> reports) {
        int layers = 0;
        int packed = 0;
        int dequantized = 0;
        for (Site site : network.sites()) {
            if (site.slot().module() instanceof AttentionProducts) {
                continue;
            }
            layers++;
            List<LayerReport> parts = of(site, reports).toList();
            boolean all = parts.stream().allMatch(LayerReport::packed);
            packed += all && !parts.isEmpty() ? 1 : 0;
            dequantized += all ? 0 : 1;
        }
        return new Execution(layers, packed, dequantized);
    }

    /** Returns the reports on a layer: on its parts, where it has several. */
    static Stream<LayerReport> of(Site site, List<LayerReport> reports) {
        return reports.stream()
                .filter(layer ->
                        layer.name().equals(site.name()) || layer.name().startsWith(site.name() + "."));
    }

    Json json() {
        return new Json()
                .put("layers", layers)
                .put("packed", packed)
                .put("dequantized", dequantized)
                .put("fp32", layers - packed - dequantized);
    }
}
