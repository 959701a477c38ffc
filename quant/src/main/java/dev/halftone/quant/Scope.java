// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.Site.Region;
import java.util.Arrays;
import java.util.Optional;

/** Which part of a network is quantized. */
public enum Scope {
    /** The convolutions of the residual blocks: the scope of the literature. */
    BODY("body"),
    /** The residual blocks, the convolution that closes the body, and the upsampler. */
    BODY_UPSAMPLER("body+upsampler"),
    /** Every convolution. */
    ALL("all");

    private final String id;

    Scope(String id) {
        this.id = id;
    }

    /** Returns the name that users write. */
    public String id() {
        return id;
    }

    /** Returns the scope with this name, or empty. */
    public static Optional<Scope> parse(String id) {
        return Arrays.stream(values()).filter(s -> s.id.equals(id)).findFirst();
    }

    /** Returns whether layers of a region are quantized. */
    public boolean includes(Region region) {
        return switch (region) {
            case BODY -> true;
            case BODY_END, UPSAMPLER -> this != BODY;
            case HEAD, TAIL -> this == ALL;
        };
    }
}
