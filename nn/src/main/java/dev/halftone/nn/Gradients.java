// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.tensor.Tensor;
import java.util.IdentityHashMap;

/** What {@link Graph#backward} found. A value on which the output does not depend has a gradient of zeros. */
public final class Gradients {
    private final IdentityHashMap<Value, Tensor> byValue;
    private final IdentityHashMap<Parameter, Value> parameters;

    Gradients(IdentityHashMap<Value, Tensor> byValue, IdentityHashMap<Parameter, Value> parameters) {
        this.byValue = byValue;
        this.parameters = parameters;
    }

    /** Returns the gradient with respect to a variable; same shape as the variable. */
    public Tensor of(Value variable) {
        Tensor gradient = byValue.get(variable);
        return gradient == null ? Tensor.zeros(variable.shape()) : gradient;
    }

    /** Returns the gradient with respect to a parameter; same shape as the parameter. */
    public Tensor of(Parameter parameter) {
        Value value = parameters.get(parameter);
        return value == null ? Tensor.zeros(parameter.value().shape()) : of(value);
    }
}
