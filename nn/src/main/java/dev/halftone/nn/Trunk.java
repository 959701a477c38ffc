// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import java.util.List;

/**
 * A residual stream: a feature map that layers add to and layers read, and that nothing else touches. So an invertible matrix on its
 * channels can be folded into these layers, and the network computes what it did.
 *
 * @param writers the places of the layers whose outputs' weighted sum it is
 * @param readers the places of the layers that read it as it is
 */
public record Trunk(List<Child> writers, List<Child> readers) {
    /** Copies the lists. */
    public Trunk {
        writers = List.copyOf(writers);
        readers = List.copyOf(readers);
    }
}
