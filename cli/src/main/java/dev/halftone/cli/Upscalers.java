// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.Upscaler;
import dev.halftone.models.Zoo;
import dev.halftone.models.image.ImageHeader;
import dev.halftone.models.image.Target;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.io.InvalidFileException;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The networks of one model: a file has one, a bundled model may have some of different factors, of which every image takes the one
 * that is nearest to what it needs. They are opened when they are first needed.
 */
final class Upscalers implements AutoCloseable {
    private final String model;
    private final WidthOption width;
    private final Compute compute;
    private final int tile;
    private final List<Integer> scales;
    private final Map<Integer, Upscaler> opened = new LinkedHashMap<>();

    Upscalers(String model, WidthOption width, Compute compute, int tile) {
        this.model = model;
        this.width = width;
        this.compute = compute;
        this.tile = tile;
        this.scales = Zoo.entries().stream()
                .filter(entry -> entry.name().equals(model))
                .map(Zoo.Entry::scale)
                .toList();
    }

    /** Returns the network for an image and a target. */
    Upscaler open(ImageHeader image, Target target) throws IOException {
        return open(nearest(target.factor(image)));
    }

    /**
     * Opens a network before there is an image for it.
     *
     * @throws InvalidFileException if there is no such model
     */
    void check() throws IOException {
        open(nearest(0));
    }

    private Upscaler open(int scale) throws IOException {
        Upscaler upscaler = opened.get(scale);
        if (upscaler == null) {
            upscaler = Upscaler.of(Zoo.build(width.apply(Zoo.read(model, scale)), scale), compute, tile);
            opened.put(scale, upscaler);
        }
        return upscaler;
    }

    /** Returns the SHA-256 of the weights, all of them. */
    String sha256() throws IOException {
        if (scales.isEmpty()) {
            return Zoo.read(model, 0).sha256();
        }
        List<String> all = new ArrayList<>();
        for (int scale : scales) {
            all.add(Zoo.read(model, scale).sha256());
        }
        return String.join(",", all);
    }

    /** Returns the factor that is nearest by ratio; 0 stands for whatever a file has. */
    private int nearest(double factor) {
        if (scales.isEmpty() || factor == 0) {
            return scales.isEmpty() ? 0 : scales.getFirst();
        }
        return scales.stream()
                .min(Comparator.comparingDouble(scale -> Math.abs(Math.log(scale / factor))))
                .orElseThrow();
    }

    @Override
    public void close() {
        opened.values().forEach(Upscaler::close);
    }
}
