// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.ImageSource;
import dev.halftone.models.PatchSampler;
import dev.halftone.models.SuperResolutionNetwork;
import dev.halftone.models.Upscaler;
import dev.halftone.models.Zoo;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.QuantizedModelFile;
import dev.halftone.quant.Recipe;
import dev.halftone.quant.Scope;
import dev.halftone.quant.recipe.Recipes;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.io.WeightFile;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The models that a page chooses from. An fp32 network is offered with fewer bits too: it is quantized when that is first asked for, in
 * seconds and without training. Used by one thread at a time, but for {@link #offers}.
 */
final class ServeModels implements AutoCloseable {
    /** What an fp32 network is called among its quantized selves. */
    static final String FULL = "fp32";

    private static final List<String> FEWER = List.of("8bit", "4bit", "3bit", "2bit", "1bit");

    /** The best recipe that does not train. */
    private static final Recipe RECIPE = Recipes.byId("dobi").orElseThrow();

    private static final int PATCH = 32;
    private static final int BATCH = 8;

    /**
     * A model.
     *
     * @param name what the user calls it; of a file without its folder
     * @param bits what can be chosen, the first is the default
     */
    record Offer(String name, int scale, List<String> bits) {}

    private record Choice(int model, String bits) {}

    private final Compute compute;
    private final List<WeightFile> sources = new ArrayList<>();
    private final List<Offer> offers = new ArrayList<>();
    private final Map<Choice, Upscaler> opened = new HashMap<>();
    private @Nullable Upscaler last;

    /**
     * Opens models, all of them, so that a bad one is known at once.
     *
     * @param names bundled models and files; none stands for all bundled ones
     */
    ServeModels(List<String> names, Compute compute) throws IOException {
        this.compute = compute;
        if (names.isEmpty()) {
            for (Zoo.Entry entry : Zoo.entries()) {
                add(entry.name(), entry.read());
            }
        }
        for (String name : names) {
            List<Zoo.Entry> bundled = Zoo.entries().stream()
                    .filter(entry -> entry.name().equals(name))
                    .toList();
            for (Zoo.Entry entry : bundled) {
                add(name, entry.read());
            }
            if (bundled.isEmpty()) {
                add(String.valueOf(Path.of(name).getFileName()), Zoo.read(name, 0));
            }
        }
    }

    private void add(String name, WeightFile source) throws IOException {
        int scale = Zoo.build(source).scale();
        List<String> bits = QuantizedModelFile.recognises(source)
                ? List.of("w" + source.metadata().getOrDefault("weight_bits", "?") + "a"
                        + source.metadata().getOrDefault("activation_bits", "?"))
                : Stream.concat(Stream.of(FULL), FEWER.stream()).toList();
        sources.add(source);
        offers.add(new Offer(name, scale, bits));
    }

    /** Returns whether bits are made of an fp32 network here; {@code quantize} makes better ones, and takes longer. */
    static boolean isMadeHere(String bits) {
        return FEWER.contains(bits);
    }

    /** Returns what there is to choose from; a model is named by its place in the list. */
    List<Offer> offers() {
        return offers;
    }

    /** Returns the network of a choice that {@link #offers} has, made now if nobody has asked for it before. */
    Upscaler open(int model, String bits) throws IOException {
        Choice choice = new Choice(model, bits);
        Upscaler upscaler = opened.get(choice);
        if (upscaler == null) {
            SuperResolutionNetwork network = Zoo.build(sources.get(model));
            if (isMadeHere(bits)) {
                quantize(network, new Bits.Converter().convert(bits));
            }
            upscaler = Upscaler.of(network, compute);
            opened.put(choice, upscaler);
        }
        if (last != null && last != upscaler) {
            last.close(); // its buffers; a network itself is small
        }
        last = upscaler;
        return upscaler;
    }

    private void quantize(SuperResolutionNetwork network, Bits bits) throws IOException {
        List<ImageSource> images = Images.forCalibration(null);
        PatchSampler sampler = PatchSampler.open(
                compute, images, new PatchSampler.Options(network.scale(), PATCH, BATCH, 0, /* seed */ 1));
        Quantization run = new Quantization(
                compute,
                network.module(),
                new Quantization.Options(bits.weight(), bits.activation(), Scope.BODY),
                i -> sampler.at(i).input());
        RECIPE.apply(run);
        run.pack();
    }

    @Override
    public void close() {
        opened.values().forEach(Upscaler::close);
    }
}
