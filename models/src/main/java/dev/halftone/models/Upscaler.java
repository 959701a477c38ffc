// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import dev.halftone.models.image.BufferedImages;
import dev.halftone.models.image.Pixels;
import dev.halftone.nn.Plan;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Upscales images with a network, tile by tile, so that memory depends on the tile and not on the image. The result does not
 * depend on the tile size. Thread-safe: calls run one after the other, each on all threads of its {@link Compute}.
 */
public final class Upscaler implements AutoCloseable {
    /** Edge of a tile in low-resolution pixels unless the caller chooses: about 100 MB of buffers for 64 channels. */
    public static final int DEFAULT_TILE = 192;

    /** Plans kept for reuse; an image needs one, a folder of equal images one. */
    private static final int PLANS = 2;

    private final SuperResolutionNetwork network;
    private final Compute compute;
    private final int tile;
    private final Map<Shape, Plan> plans = new LinkedHashMap<>(PLANS, 0.75f, true);

    private Upscaler(SuperResolutionNetwork network, Compute compute, int tile) {
        this.network = network;
        this.compute = compute;
        this.tile = tile;
    }

    /** Opens a bundled model by name ({@code edsr}) or a checkpoint or quantized-model file, on all processors. */
    public static Upscaler open(String nameOrFile) throws IOException {
        return of(Zoo.open(nameOrFile), Compute.shared());
    }

    /** Returns an upscaler over a network, with the default tile. The network must not change any more. */
    public static Upscaler of(SuperResolutionNetwork network, Compute compute) {
        return of(network, compute, DEFAULT_TILE);
    }

    /** Returns an upscaler over a network. */
    public static Upscaler of(SuperResolutionNetwork network, Compute compute, int tile) {
        return new Upscaler(network, compute, tile);
    }

    /** Returns the upscaling factor. */
    public int scale() {
        return network.scale();
    }

    /**
     * Upscales {@code [H, W, 3]}, RGB 0..255, to {@code [H scale, W scale, 3]}; the result is not rounded or clamped.
     *
     * @param progress told after every tile
     */
    public synchronized Tensor upscale(Tensor image, Tiler.Progress progress) {
        Tiler tiler = new Tiler(tile, network.receptiveRadius(), network.scale());
        return tiler.run(image, window -> plan(window.shape()).run(window), progress);
    }

    /** Upscales {@code [H, W, 3]}, RGB 0..255, to {@code [H scale, W scale, 3]}; the result is not rounded or clamped. */
    public Tensor upscale(Tensor image) {
        return upscale(image, Tiler.Progress.NONE);
    }

    /** Upscales the colours of an image; the result is opaque 8-bit RGB. */
    public BufferedImage upscale(BufferedImage image) {
        return BufferedImages.fromTensor(Pixels.toUint8(upscale(BufferedImages.toTensor(image))));
    }

    private Plan plan(Shape window) {
        Plan plan = plans.get(window);
        if (plan == null) {
            if (plans.size() == PLANS) {
                plans.remove(plans.keySet().iterator().next());
            }
            plan = Plan.compile(compute, network.module(), window);
            plans.put(window, plan);
        }
        return plan;
    }

    /** Releases the buffers. */
    @Override
    public synchronized void close() {
        plans.clear();
    }
}
