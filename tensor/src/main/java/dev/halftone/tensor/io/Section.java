// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.io;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * One dictionary of a weight file, with the names that its tensors have inside it.
 *
 * @param name the dotted prefix that was taken off, for example {@code params_ema}; empty for the whole file
 * @param tensors by name, in file order
 */
public record Section(String name, Map<String, StoredTensor> tensors) {
    /** Copies the map, keeping its order. */
    public Section {
        tensors = Collections.unmodifiableMap(new LinkedHashMap<>(tensors));
    }
}
