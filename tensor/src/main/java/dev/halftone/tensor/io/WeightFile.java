// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.io;

import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The content of a weight file.
 *
 * @param path where it was read from
 * @param format for example {@code safetensors} or {@code pytorch-zip}
 * @param metadata strings beside the tensors (safetensors {@code __metadata__}); empty when the format has none
 * @param tensors by full dotted name, in file order
 */
public record WeightFile(Path path, String format, Map<String, String> metadata, Map<String, StoredTensor> tensors) {
    /** Copies the maps, keeping their order. */
    public WeightFile {
        metadata = Collections.unmodifiableMap(new LinkedHashMap<>(metadata));
        tensors = Collections.unmodifiableMap(new LinkedHashMap<>(tensors));
    }
}
