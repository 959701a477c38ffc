// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.Module;
import dev.halftone.nn.MultiplyAdds;
import dev.halftone.nn.Site;
import dev.halftone.nn.Site.Role;
import dev.halftone.quant.Quantization.LayerReport;
import dev.halftone.tensor.Compute;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a network computes for one pixel of its output, counted as in the literature (Baskin et al., UNIQ, 2018; van Baalen et al., Bayesian
 * Bits, 2020): the bit operations of a layer are its multiply-adds times the bits of the one factor times the bits of the other, 32 each in
 * fp32. They tell what hardware made for these widths would save; what a kernel of this project saves is measured in seconds.
 *
 * @param multiplyAdds of all layers
 * @param fp32 bit operations of the network in fp32
 * @param quantized bit operations of the quantized network
 * @param layers multiply-adds of every layer in scope, by the name in its {@link LayerReport}; those of attention's products are with the
 *     queries and the probabilities
 */
public record BitOperations(double multiplyAdds, double fp32, double quantized, Map<String, Double> layers) {
    private static final int FP32 = 32;

    /** Copies the map. */
    public BitOperations {
        layers = Map.copyOf(layers);
    }

    /**
     * Counts.
     *
     * @param network the network in fp32
     * @param reports of what was quantized in a copy of it
     */
    public static BitOperations of(Compute compute, Module network, List<LayerReport> reports) {
        Map<String, LayerReport> byName = new LinkedHashMap<>();
        reports.forEach(report -> byName.put(report.name(), report));
        Map<String, Double> counts = MultiplyAdds.perPixel(compute, network);
        Map<String, Double> layers = new LinkedHashMap<>();
        double all = 0;
        double quantized = 0;
        for (Site site : network.sites()) {
            double count = counts.getOrDefault(site.name(), 0.0);
            all += count;
            LayerReport whole = byName.get(site.name());
            List<LayerReport> parts = reports.stream()
                    .filter(report -> report.name().startsWith(site.name() + "."))
                    .toList();
            if (whole != null) {
                layers.put(site.name(), count);
                quantized += count * whole.weightBits() * whole.activationBits();
            } else if (parts.isEmpty()) {
                quantized += count * FP32 * FP32;
            } else if (site.role() == Role.ATTENTION) {
                for (int i = 0; i < parts.size(); i += 2) { // queries by keys, probabilities by values
                    layers.put(parts.get(i).name(), count / 2);
                    quantized += count
                            / 2
                            * parts.get(i).activationBits()
                            * parts.get(i + 1).activationBits();
                }
            } else {
                for (LayerReport part : parts) {
                    layers.put(part.name(), count / parts.size());
                    quantized += count / parts.size() * part.weightBits() * part.activationBits();
                }
            }
        }
        return new BitOperations(all, all * FP32 * FP32, quantized, layers);
    }
}
