// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.tensor.Tensor;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A layer or a network: named parameters, named children, and a {@code forward} that reads like the paper's figure.
 *
 * <p>Dotted names ({@code body.0.body.2.weight}) equal those of the official PyTorch state dict. Children sit in {@link Child}
 * slots, so that a pass can put another layer in the same place.
 */
public abstract class Module {
    private final Map<String, Child> children = new LinkedHashMap<>();
    private final Map<String, Parameter> parameters = new LinkedHashMap<>();

    /** Creates a module without parameters or children. */
    protected Module() {}

    /** Computes the module's output. Calls only ops and children, so that it runs, records and traces alike. */
    public abstract Value forward(Value x);

    /** Returns the places where this network can be quantized, in the order of execution; a plain layer has none. */
    public List<Site> sites() {
        return List.of();
    }

    /**
     * Returns the slots of this network's blocks, in the order of execution. Their outputs can be compared with those of another
     * network of the same architecture; a plain layer has none.
     */
    public List<Child> blocks() {
        return List.of();
    }

    /** Returns this network's residual streams, of which it may have none: a norm between writers and readers breaks them. */
    public List<Trunk> trunks() {
        return List.of();
    }

    /** Adds a child under a name, which may be dotted, and returns its slot. */
    protected final Child child(String name, Module module) {
        Child slot = new Child(module);
        if (children.putIfAbsent(name, slot) != null) {
            throw new IllegalArgumentException("two children named " + name);
        }
        return slot;
    }

    /** Adds a trainable parameter. */
    protected final Parameter parameter(String name, Tensor value, Parameter.Layout layout) {
        return put(new Parameter(name, value, layout, true));
    }

    /** Adds a tensor that is stored with the module but never trained. */
    protected final Parameter buffer(String name, Tensor value, Parameter.Layout layout) {
        return put(new Parameter(name, value, layout, false));
    }

    private Parameter put(Parameter parameter) {
        if (parameters.putIfAbsent(parameter.name(), parameter) != null) {
            throw new IllegalArgumentException("two parameters named " + parameter.name());
        }
        return parameter;
    }

    /** Returns the slots of the direct children, in the order of definition. */
    public final Map<String, Child> children() {
        return Collections.unmodifiableMap(children);
    }

    /** Returns the slots of all descendants by dotted name, parents before children. */
    public final Map<String, Child> descendants() {
        Map<String, Child> all = new LinkedHashMap<>();
        collectChildren("", all);
        return all;
    }

    /** Returns all parameters and buffers, of this module and its descendants, by dotted name. */
    public final Map<String, Parameter> parameters() {
        Map<String, Parameter> all = new LinkedHashMap<>();
        parameters.forEach(all::put);
        descendants()
                .forEach((path, slot) ->
                        slot.module().parameters.forEach((name, parameter) -> all.put(path + "." + name, parameter)));
        return all;
    }

    private void collectChildren(String prefix, Map<String, Child> into) {
        children.forEach((name, slot) -> {
            into.put(prefix + name, slot);
            slot.module().collectChildren(prefix + name + ".", into);
        });
    }
}
