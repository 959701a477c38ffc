// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.nn.Site.Region;
import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.SiteState;

/**
 * Gives the layers next to the images, the first and the last ones, more bits, where they are in scope at all.
 *
 * @param bits of their weights and inputs, 1 to 8
 */
public record AllocateEnds(int bits) implements Pass {
    @Override
    public String id() {
        return "allocate(" + bits + " bits at both ends)";
    }

    @Override
    public void apply(Quantization run) {
        for (SiteState site : run.sites()) {
            Region region = site.site().region();
            if (region == Region.HEAD || region == Region.TAIL) {
                site.weights().forEach(weight -> weight.allocate(Math.max(bits, weight.bits())));
                site.inputs().forEach(input -> input.allocate(Math.max(bits, input.bits())));
            }
        }
    }
}
