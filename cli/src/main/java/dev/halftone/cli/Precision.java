// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.quant.Recipe;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * How many bits a result of {@code compare} has.
 *
 * @param bits of all layers; with a target, before they get their own
 * @param target what a weight takes in the file on average with its bounds, where layers get bits of their own, or null
 */
record Precision(Bits bits, @Nullable Double target) {
    /** Returns the same bits for all layers. */
    static Precision uniform(Bits bits) {
        return new Precision(bits, null);
    }

    /** Returns bits of its own for every layer, within a budget. */
    static Precision average(double target) {
        return new Precision(new Bits(2, 2), target);
    }

    /** Returns whether a recipe can have this: only some share bits among layers. */
    boolean suits(Recipe recipe) {
        return target == null || recipe.allocates();
    }

    /** Returns a recipe that has this. */
    Recipe applied(Recipe recipe) {
        return target == null ? recipe : recipe.withTarget(target);
    }

    /** Returns whether a result has this, by what its file says. */
    boolean isOf(Map<String, Object> result) {
        return target == null
                ? result.get("targetBits") == null
                        && Integer.valueOf(bits.weight()).equals(result.get("weightBits"))
                        && Integer.valueOf(bits.activation()).equals(result.get("activationBits"))
                : target.equals(result.get("targetBits"));
    }

    /** Returns for example {@code w2a4}, or {@code 2.5bit} for an average. */
    @Override
    public String toString() {
        return target == null ? bits.toString() : target + "bit";
    }
}
