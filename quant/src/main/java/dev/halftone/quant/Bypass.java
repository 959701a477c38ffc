// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.quant.BypassedLayer.Part;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * Gives every layer that has weights what binary networks put around it: a threshold for each input channel, by which the channel is shifted
 * where it is quantized, a full-precision bypass and maybe other parts ({@link BypassedLayer}). The layer computes what it did until
 * {@link Distill.Trained#BYPASSES} are trained. It comes before the passes that choose quantizers.
 *
 * @param parts besides thresholds and the bypass
 */
public record Bypass(Set<Part> parts) implements Pass {
    /** Copies the set. */
    public Bypass {
        parts = Set.copyOf(parts);
    }

    @Override
    public String id() {
        String names = parts.stream()
                .sorted()
                .map(part -> ", " + part.name().toLowerCase(Locale.ROOT).replace('_', ' '))
                .collect(Collectors.joining());
        return "bypass(thresholds" + names + ")";
    }

    @Override
    public void apply(Quantization run) {
        run.requireQuantizedActivations(this);
        Map<InputOperand, ChannelHistograms> seen =
                parts.contains(Part.LOCAL_SCALE) ? ChannelHistograms.observe(run) : Map.of();
        for (SiteState site : run.sites()) {
            if (site.canNormalize()) {
                // Where a layer has several inputs, they are parts of one.
                site.bypass(parts, seen.get(site.inputs().getFirst()));
            }
        }
    }
}
