// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

/** The place of a child in its parent. Putting another module there is how quantization changes a network. */
public final class Child {
    private Module module;

    Child(Module module) {
        this.module = module;
    }

    /** Returns the module that is there now. */
    public Module module() {
        return module;
    }

    /** Puts another module there and returns the former one. */
    public Module replace(Module replacement) {
        Module former = module;
        module = replacement;
        return former;
    }

    /** Runs the module that is there now. */
    public Value forward(Value x) {
        return module.forward(x);
    }
}
