// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import dev.halftone.models.image.BufferedImages;
import dev.halftone.models.image.ImageHeader;
import dev.halftone.models.image.ImageRows;
import dev.halftone.models.image.Target;
import dev.halftone.nn.Plan;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CancellationException;

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
     * @throws CancellationException if the thread is interrupted, after the tile in work
     */
    public synchronized Tensor upscale(Tensor image, Tiler.Progress progress) {
        return tiler().run(image, this::tile, progress);
    }

    /** Upscales {@code [H, W, 3]}, RGB 0..255, to {@code [H scale, W scale, 3]}; the result is not rounded or clamped. */
    public Tensor upscale(Tensor image) {
        return upscale(image, Tiler.Progress.NONE);
    }

    /**
     * Upscales an image row by row: reading the result reads {@code input} and computes, one row of tiles at a time.
     *
     * @param target what the result is to be
     * @param progress told after every tile
     * @return the result, which closes {@code input} when it is closed; {@link ImageRows#next} throws {@link CancellationException} if
     *     the thread is interrupted, after the tile in work
     */
    public ImageRows upscale(ImageRows input, Target target, Tiler.Progress progress) {
        TileCount count = new TileCount(progress);
        return target.apply(input, scale(), rows -> {
            ImageHeader header = rows.header();
            count.total += tiler().tiles(header.height(), header.width());
            return new NetworkRows(rows, this, count::next);
        });
    }

    /** Upscales an image, with its alpha, its depth and its colour space; grey stays grey. */
    public BufferedImage upscale(BufferedImage image) {
        return upscale(image, Target.NATIVE, Tiler.Progress.NONE);
    }

    /**
     * Upscales an image.
     *
     * @param target what the result is to be
     * @param progress told after every tile
     * @throws CancellationException if the thread is interrupted, after the tile in work
     */
    public BufferedImage upscale(BufferedImage image, Target target, Tiler.Progress progress) {
        try (ImageRows rows = upscale(BufferedImages.rows(image), target, progress)) {
            return BufferedImages.of(rows);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Returns how images are cut up. */
    Tiler tiler() {
        return new Tiler(tile, network.receptiveRadius(), network.scale());
    }

    /** Upscales one row of tiles, see {@link Tiler#row}. */
    synchronized void upscale(Tiler tiler, Tensor rows, int first, int end, Tensor output, Runnable afterTile) {
        tiler.row(rows, first, end, this::tile, output, afterTile);
    }

    private Tensor tile(Tensor window) {
        if (Thread.currentThread().isInterrupted()) {
            throw new CancellationException("upscaling was interrupted");
        }
        return plan(window.shape()).run(window);
    }

    private static final class TileCount {
        private final Tiler.Progress progress;
        private int done;
        private int total;

        TileCount(Tiler.Progress progress) {
            this.progress = progress;
        }

        void next() {
            done++;
            progress.tiles(done, total);
        }
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
