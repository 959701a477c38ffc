// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Counts the multiplications, each with its addition, that the layers at the sites of a network cost. What else a network computes
 * (activation functions, norms, softmax, sums) is not counted, as usual in the literature.
 */
public final class MultiplyAdds {
    /** The side of the image that is counted on, whole windows of 7 and of 8 pixels: one that needs no padding. */
    private static final int SIDE = 56;

    private MultiplyAdds() {}

    /** Keeps the shape of what a layer gives. */
    private static final class Ruler extends Module {
        private final Child layer;
        private Shape output = Shape.of();

        Ruler(Module layer) {
            this.layer = child("layer", layer);
        }

        @Override
        public Value forward(Value x) {
            Value y = layer.forward(x);
            output = y.shape();
            return y;
        }
    }

    /**
     * Returns the multiply-adds of every site for one pixel of the output, by name, in the order of {@link Module#sites}. Borders are
     * counted like the rest. Nothing is computed.
     *
     * @param network {@code [N, H, W, 3]} to {@code [N, H scale, W scale, 3]} in fp32; layers are put back where they were
     */
    public static Map<String, Double> perPixel(Compute compute, Module network) {
        Map<Site, Ruler> rulers = new LinkedHashMap<>();
        for (Site site : network.sites()) {
            Ruler ruler = new Ruler(site.slot().module());
            site.slot().replace(ruler);
            rulers.put(site, ruler);
        }
        try {
            Shape image = network.forward(Graph.tracing(compute).placeholder(Shape.of(1, SIDE, SIDE, 3)))
                    .shape();
            double pixels = (double) image.dim(1) * image.dim(2);
            Map<String, Double> counts = new LinkedHashMap<>();
            rulers.forEach((site, ruler) -> counts.put(site.name(), count(ruler) / pixels));
            return counts;
        } finally {
            rulers.forEach((site, ruler) -> site.slot().replace(ruler.layer.module()));
        }
    }

    private static double count(Ruler ruler) {
        double values = ruler.output.size();
        return switch (ruler.layer.module()) {
            // Every output of a convolution is a sum over the kernel and the inputs of its group.
            case Conv2d conv ->
                values * conv.weight().value().size() / conv.weight().value().dim(-1);
            case Linear linear -> values * linear.weight().value().dim(0);
            // Each query meets every key of its window, and each value every probability.
            case AttentionProducts products -> 2 * values * products.window() * products.window();
            case Module other ->
                throw new IllegalArgumentException(
                        "no count of multiply-adds for " + other.getClass().getSimpleName());
        };
    }
}
