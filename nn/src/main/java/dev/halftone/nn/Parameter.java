// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.tensor.Tensor;

/**
 * A named tensor of a module: a weight that an optimizer trains, or a buffer that is only stored.
 *
 * <p>Identity matters: two parameters with equal values are different parameters.
 */
public final class Parameter {
    /** How the tensor lies in memory here and in a PyTorch state dict; {@link StateDict} converts between the two. */
    public enum Layout {
        /** The same in both. */
        PLAIN,
        /** {@code [k, k, in / groups, out]} here, {@code [out, in / groups, k, k]} in the state dict. */
        CONV,
        /** {@code [in, out]} here, {@code [out, in]} in the state dict. */
        LINEAR
    }

    private final String name;
    private final Tensor value;
    private final Layout layout;
    private final boolean trainable;

    Parameter(String name, Tensor value, Layout layout, boolean trainable) {
        this.name = name;
        this.value = value;
        this.layout = layout;
        this.trainable = trainable;
    }

    /** Returns the name within its module, for example {@code weight}. */
    public String name() {
        return name;
    }

    /** Returns the tensor, which optimizers and {@link StateDict#load} change in place. */
    public Tensor value() {
        return value;
    }

    /** Returns the layout. */
    public Layout layout() {
        return layout;
    }

    /** Returns whether it wants a gradient. */
    public boolean trainable() {
        return trainable;
    }

    /** Returns this parameter's value in the graph of {@code x}. */
    public Value in(Value x) {
        return x.graph().parameter(this);
    }
}
