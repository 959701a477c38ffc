// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.io.InvalidFileException;
import dev.halftone.tensor.io.StoredTensor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * The shape of a SwinIR network (Liang et al., "SwinIR: Image Restoration Using Swin Transformer", 2021).
 *
 * @param imageChannels 3 for RGB, 1 for grey
 * @param features channels between the layers ("embedding", published: 60 lightweight, 180, 240)
 * @param depths transformer blocks in each group
 * @param heads of attention in each group; they divide {@code features}
 * @param hidden channels inside the blocks' perceptrons
 * @param window side of a window
 * @param scale upscaling factor; 1 where the head is {@link Head#RESTORE}
 * @param head how the image is made of features
 * @param threeConvolutions whether a group ends with three convolutions, fewer channels between them, instead of one
 * @param range the range of pixel values inside the network ("img_range"), 1 or 255
 */
public record SwinIrConfig(
        int imageChannels,
        int features,
        List<Integer> depths,
        List<Integer> heads,
        int hidden,
        int window,
        int scale,
        Head head,
        boolean threeConvolutions,
        float range) {
    /** How the image is made of features. */
    public enum Head {
        /** Classical super-resolution ("pixelshuffle"): convolutions and pixel shuffles step by step. */
        SHUFFLE,
        /** Lightweight super-resolution ("pixelshuffledirect"): one convolution and one pixel shuffle. */
        DIRECT,
        /** Real-world super-resolution ("nearest+conv"): pixels repeated before convolutions. */
        NEAREST,
        /** Denoising and JPEG artifact reduction: a correction is added to the input. */
        RESTORE;

        String id() {
            return name().toLowerCase(Locale.ROOT);
        }

        static Head parse(String id) {
            return Arrays.stream(values())
                    .filter(h -> h.id().equals(id))
                    .findFirst()
                    .orElseThrow(() -> new IllegalArgumentException("head " + id));
        }
    }

    static final String ARCHITECTURE = "swinir";

    /** Channels of the heads that have some of their own. */
    static final int HEAD_FEATURES = 64;

    /** No published network comes near; a file that claims more is not believed. */
    private static final int MAX = 1024;

    private static final int MAX_WINDOW = 32;

    /** Published networks for JPEG artifacts, which have windows of 7, work on values up to 255, others on values up to 1. */
    private static final int JPEG_WINDOW = 7;

    /** Checks the ranges. */
    public SwinIrConfig {
        depths = List.copyOf(depths);
        heads = List.copyOf(heads);
        require(imageChannels == 1 || imageChannels == 3, "image channels " + imageChannels);
        require(
                features >= 1 && features <= MAX && hidden >= 1 && hidden <= 8 * MAX,
                "features " + features + ", " + hidden);
        require(!depths.isEmpty() && depths.size() <= MAX && depths.size() == heads.size(), "depths " + depths);
        for (int i = 0; i < depths.size(); i++) {
            require(depths.get(i) >= 1 && depths.get(i) <= MAX, "depths " + depths);
            require(heads.get(i) >= 1 && features % heads.get(i) == 0, heads + " heads of " + features + " channels");
        }
        require(window >= 1 && window <= MAX_WINDOW, "window " + window);
        boolean fits = switch (head) {
            case SHUFFLE -> scale == 2 || scale == 3 || scale == 4 || scale == 8;
            case DIRECT -> scale >= 2 && scale <= 8;
            case NEAREST -> scale == 2 || scale == 4;
            case RESTORE -> scale == 1;
        };
        require(fits, "scale " + scale + " with head " + head.id());
        require(!threeConvolutions || features >= 4, "three convolutions of " + features + " channels");
        require(range > 0 && Float.isFinite(range), "range " + range);
    }

    private static void require(boolean condition, String wrong) {
        if (!condition) {
            throw new IllegalArgumentException("no SwinIR has " + wrong);
        }
    }

    /** Returns the lightweight network of the paper: 60 channels, four groups of six blocks with six heads, windows of 8. */
    public static SwinIrConfig light(int scale) {
        return new SwinIrConfig(3, 60, List.of(6, 6, 6, 6), List.of(6, 6, 6, 6), 120, 8, scale, Head.DIRECT, false, 1);
    }

    SwinIrConfig withScale(int other) {
        return new SwinIrConfig(
                imageChannels, features, depths, heads, hidden, window, other, head, threeConvolutions, range);
    }

    /** Returns whether a state dict has the key names of SwinIR. */
    static boolean recognises(Map<String, StoredTensor> tensors) {
        return tensors.containsKey("conv_first.weight")
                && tensors.containsKey(block(0, 0) + "attn.relative_position_bias_table");
    }

    /** Returns the beginning of a block's key names. */
    static String block(int group, int index) {
        return "layers." + group + ".residual_group.blocks." + index + ".";
    }

    /**
     * Reads the architecture off a state dict with official key names.
     *
     * @param metadata {@code range} wins over the published default (255 for windows of 7, otherwise 1)
     * @throws InvalidFileException if the keys and shapes are not those of any SwinIR
     */
    static SwinIrConfig infer(Map<String, StoredTensor> tensors, Map<String, String> metadata, Path source)
            throws InvalidFileException {
        Shape first = shape(tensors, "conv_first.weight", 4, source);
        List<Integer> depths = new ArrayList<>();
        List<Integer> heads = new ArrayList<>();
        while (tensors.containsKey(block(depths.size(), 0) + "norm1.weight")) {
            int group = depths.size();
            int depth = 1;
            while (tensors.containsKey(block(group, depth) + "norm1.weight")) {
                depth++;
            }
            depths.add(depth);
            heads.add(shape(tensors, block(group, 0) + "attn.relative_position_bias_table", 2, source)
                    .dim(1));
        }
        int entries = shape(tensors, block(0, 0) + "attn.relative_position_bias_table", 2, source)
                .dim(0);
        int window = ((int) Math.round(Math.sqrt(entries)) + 1) / 2;
        String stated = metadata.get("range");
        try {
            Head head = head(tensors);
            return new SwinIrConfig(
                    first.dim(1),
                    first.dim(0),
                    depths,
                    heads,
                    shape(tensors, block(0, 0) + "mlp.fc1.weight", 2, source).dim(0),
                    window,
                    scale(tensors, head, first.dim(1), source),
                    head,
                    tensors.containsKey("layers.0.conv.0.weight"),
                    stated != null ? Float.parseFloat(stated) : window == JPEG_WINDOW ? 255 : 1);
        } catch (IllegalArgumentException e) {
            throw new InvalidFileException(source, "has SwinIR's key names, but " + e.getMessage());
        }
    }

    private static Head head(Map<String, StoredTensor> tensors) {
        if (tensors.containsKey("conv_up1.weight")) {
            return Head.NEAREST;
        }
        if (tensors.containsKey("conv_before_upsample.0.weight")) {
            return Head.SHUFFLE;
        }
        return tensors.containsKey("upsample.0.weight") ? Head.DIRECT : Head.RESTORE;
    }

    private static int scale(Map<String, StoredTensor> tensors, Head head, int imageChannels, Path source)
            throws InvalidFileException {
        return switch (head) {
            case NEAREST -> tensors.containsKey("conv_up2.weight") ? 4 : 2;
            case RESTORE -> 1;
            case DIRECT -> side(shape(tensors, "upsample.0.weight", 4, source).dim(0) / Math.max(1, imageChannels));
            case SHUFFLE -> {
                int scale = 1;
                for (int i = 0; tensors.containsKey("upsample." + i + ".weight"); i += 2) {
                    Shape conv = shape(tensors, "upsample." + i + ".weight", 4, source);
                    scale *= side(conv.dim(0) / Math.max(1, conv.dim(1)));
                }
                yield scale;
            }
        };
    }

    private static int side(int square) {
        return (int) Math.round(Math.sqrt(square));
    }

    private static Shape shape(Map<String, StoredTensor> tensors, String name, int rank, Path source)
            throws InvalidFileException {
        StoredTensor t = tensors.get(name);
        if (t == null || t.shape().rank() != rank) {
            throw new InvalidFileException(
                    source, "has no " + rank + "-dimensional " + name + ", so it is not a SwinIR checkpoint");
        }
        return t.shape();
    }

    /**
     * Reads the architecture from metadata that {@link #metadata()} made.
     *
     * @throws InvalidFileException if an entry is missing or wrong
     */
    static SwinIrConfig parse(Map<String, String> metadata, Path source) throws InvalidFileException {
        try {
            return new SwinIrConfig(
                    integer(metadata, "image_channels"),
                    integer(metadata, "features"),
                    integers(metadata, "depths"),
                    integers(metadata, "heads"),
                    integer(metadata, "hidden"),
                    integer(metadata, "window"),
                    integer(metadata, "scale"),
                    Head.parse(metadata.getOrDefault("head", "")),
                    Boolean.parseBoolean(metadata.get("three_convolutions")),
                    Float.parseFloat(metadata.getOrDefault("range", "")));
        } catch (IllegalArgumentException e) {
            throw new InvalidFileException(source, "describes no architecture that Halftone knows: " + e.getMessage());
        }
    }

    private static int integer(Map<String, String> metadata, String key) {
        return Integer.parseInt(metadata.getOrDefault(key, ""));
    }

    private static List<Integer> integers(Map<String, String> metadata, String key) {
        return Arrays.stream(metadata.getOrDefault(key, "").split(",", -1))
                .map(Integer::valueOf)
                .toList();
    }

    /** Returns the number of weights of the blocks and the layers around them, those of the head, which are few, left out. */
    long weights() {
        long table = (2L * window - 1) * (2L * window - 1);
        long square = (long) features * features;
        long weights = 0;
        for (int i = 0; i < depths.size(); i++) {
            weights += depths.get(i) * (4 * square + 2L * features * hidden + table * heads.get(i)) + square;
        }
        return weights;
    }

    /** Returns the architecture as file metadata. */
    public Map<String, String> metadata() {
        Map<String, String> m = new LinkedHashMap<>();
        m.put("architecture", ARCHITECTURE);
        m.put("image_channels", Integer.toString(imageChannels));
        m.put("features", Integer.toString(features));
        m.put("depths", joined(depths));
        m.put("heads", joined(heads));
        m.put("hidden", Integer.toString(hidden));
        m.put("window", Integer.toString(window));
        m.put("scale", Integer.toString(scale));
        m.put("head", head.id());
        m.put("three_convolutions", Boolean.toString(threeConvolutions));
        m.put("range", Float.toString(range));
        return m;
    }

    private static String joined(List<Integer> numbers) {
        return numbers.stream().map(n -> Integer.toString(n)).collect(Collectors.joining(","));
    }
}
