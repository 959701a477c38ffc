// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.io.InvalidFileException;
import dev.halftone.tensor.io.StoredTensor;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The shape of an EDSR network (Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", 2017).
 *
 * @param blocks residual blocks (published: 16 baseline, 32 full)
 * @param features channels (64, 256)
 * @param scale upscaling factor 2, 3 or 4
 * @param residualScale factor on each block's branch (1; 0.1 for 32 x 256)
 */
public record EdsrConfig(int blocks, int features, int scale, float residualScale) {
    static final String ARCHITECTURE = "edsr";

    /** No published network comes near; a file that claims more is not believed. */
    private static final int MAX = 1024;

    /** Checks the ranges. */
    public EdsrConfig {
        if (blocks < 1 || blocks > MAX || features < 1 || features > MAX || scale < 2 || scale > 4) {
            throw new IllegalArgumentException("EDSR has 1 to 1024 blocks and features and scale 2, 3 or 4, not "
                    + blocks + ", " + features + ", " + scale);
        }
    }

    /** Returns whether a state dict has the key names of EDSR. */
    static boolean recognises(Map<String, StoredTensor> tensors) {
        return tensors.containsKey("head.0.weight")
                && tensors.containsKey("body.0.body.0.weight")
                && tensors.containsKey("tail.0.0.weight");
    }

    /**
     * Reads the architecture off a state dict with EDSR-PyTorch key names.
     *
     * @param metadata {@code residual_scale} wins over the published default (0.1 for 32 blocks of 256 channels, otherwise 1)
     * @throws InvalidFileException if the keys and shapes are not those of any EDSR
     */
    static EdsrConfig infer(Map<String, StoredTensor> tensors, Map<String, String> metadata, Path source)
            throws InvalidFileException {
        int blocks = 0;
        while (tensors.containsKey("body." + blocks + ".body.0.weight")) {
            blocks++;
        }
        Shape head = shape(tensors, "head.0.weight", source);
        int features = head.dim(0);
        Shape up = shape(tensors, "tail.0.0.weight", source);
        int factor = features == 0 ? 0 : up.dim(0) / features;
        int scale = tensors.containsKey("tail.0.2.weight") ? 4 : factor == 4 ? 2 : factor == 9 ? 3 : 0;
        if (blocks == 0 || features == 0 || scale == 0) {
            throw new InvalidFileException(
                    source,
                    "has EDSR's key names, but tail.0.0.weight " + up + " with head.0.weight " + head
                            + " is no known upsampler");
        }
        float residualScale = blocks == 32 && features == 256 ? 0.1f : 1;
        String stated = metadata.get("residual_scale");
        if (stated != null) {
            try {
                residualScale = Float.parseFloat(stated);
            } catch (NumberFormatException e) {
                throw new InvalidFileException(source, "states residual_scale '" + stated + "', which is not a number");
            }
        }
        try {
            return new EdsrConfig(blocks, features, scale, residualScale);
        } catch (IllegalArgumentException e) {
            throw new InvalidFileException(source, "is no network that Halftone knows: " + e.getMessage(), e);
        }
    }

    /**
     * Reads the architecture from metadata that {@link #metadata()} made.
     *
     * @throws InvalidFileException if an entry is missing or wrong
     */
    static EdsrConfig parse(Map<String, String> metadata, Path source) throws InvalidFileException {
        try {
            if (!ARCHITECTURE.equals(metadata.get("architecture"))) {
                throw new IllegalArgumentException("architecture " + metadata.get("architecture"));
            }
            return new EdsrConfig(
                    Integer.parseInt(metadata.getOrDefault("blocks", "")),
                    Integer.parseInt(metadata.getOrDefault("features", "")),
                    Integer.parseInt(metadata.getOrDefault("scale", "")),
                    Float.parseFloat(metadata.getOrDefault("residual_scale", "")));
        } catch (IllegalArgumentException e) {
            throw new InvalidFileException(source, "describes no architecture that Halftone knows: " + e.getMessage());
        }
    }

    private static Shape shape(Map<String, StoredTensor> tensors, String name, Path source)
            throws InvalidFileException {
        StoredTensor t = tensors.get(name);
        if (t == null || t.shape().rank() != 4) {
            throw new InvalidFileException(
                    source, "has no 4-dimensional " + name + ", so it is not an EDSR checkpoint");
        }
        return t.shape();
    }

    /** Returns the number of weights, biases left out. */
    long weights() {
        long body = 9L * features * features;
        long ends = 2 * 27L * features;
        return ends + (2L * blocks + 1) * body + body * (scale == 4 ? 8 : (long) scale * scale);
    }

    /** Returns the architecture as file metadata. */
    public Map<String, String> metadata() {
        Map<String, String> m = new LinkedHashMap<>();
        m.put("architecture", ARCHITECTURE);
        m.put("blocks", Integer.toString(blocks));
        m.put("features", Integer.toString(features));
        m.put("scale", Integer.toString(scale));
        m.put("residual_scale", Float.toString(residualScale));
        return m;
    }
}
