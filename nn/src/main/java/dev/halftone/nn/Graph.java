// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.nn.op.AddOp;
import dev.halftone.nn.op.Op;
import dev.halftone.nn.op.Reach;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Where a forward pass happens. A graph runs ops as layers call them and, depending on how it was made, remembers them:
 *
 * <ul>
 *   <li>{@link #eager} computes and remembers nothing;
 *   <li>{@link #recording} computes and remembers every op with its operands, so that {@link #backward} gives gradients;
 *   <li>{@link #tracing} computes nothing and remembers ops and shapes, from which a {@link Plan} is compiled.
 * </ul>
 *
 * <p>A graph belongs to one thread; the ops inside run on its {@link Compute}.
 */
public final class Graph {
    private enum Mode {
        EAGER,
        RECORDING,
        TRACING
    }

    /**
     * An op that was applied.
     *
     * @param inputs the operands, each made earlier than {@code output}
     */
    record Node(Op op, List<Value> inputs, Value output) {
        /**
         * Returns how rows of the output depend on rows of the operands, or null if one of these values is no feature map of one image.
         */
        @Nullable
        Reach reach() {
            Reach reach = op.reach(inputs.stream().map(Value::shape).toArray(Shape[]::new));
            if (reach == null || inputs.getFirst().tensorOrNull() != null || !isMap(output)) {
                return null;
            }
            for (Value v : inputs) {
                boolean computed = v.tensorOrNull() == null;
                if (computed
                        && !(isMap(v)
                                && v.shape().dim(1) * reach.factor()
                                        == output.shape().dim(1))) {
                    return null;
                }
            }
            return reach;
        }

        private static boolean isMap(Value v) {
            return v.shape().rank() == 4 && v.shape().dim(0) == 1;
        }
    }

    private final Compute compute;
    private final Mode mode;
    private final List<Node> nodes = new ArrayList<>();
    private final IdentityHashMap<Parameter, Value> parameters = new IdentityHashMap<>();

    private Graph(Compute compute, Mode mode) {
        this.compute = compute;
        this.mode = mode;
    }

    /** Returns a graph that computes and remembers nothing. */
    public static Graph eager(Compute compute) {
        return new Graph(compute, Mode.EAGER);
    }

    /** Returns a graph that computes and remembers, for gradients. */
    public static Graph recording(Compute compute) {
        return new Graph(compute, Mode.RECORDING);
    }

    /** Returns a graph that only propagates shapes; its values have no tensors. */
    public static Graph tracing(Compute compute) {
        return new Graph(compute, Mode.TRACING);
    }

    /** Returns the threads that ops run on. */
    public Compute compute() {
        return compute;
    }

    /** Returns a value that wants no gradient. */
    public Value constant(Tensor tensor) {
        return new Value(this, tensor.shape(), tensor, null, false);
    }

    /** Returns a value that wants a gradient, see {@link Gradients#of(Value)}. */
    public Value variable(Tensor tensor) {
        return new Value(this, tensor.shape(), tensor, null, true);
    }

    /** Returns a placeholder of a traced graph: a shape without a tensor. */
    Value placeholder(Shape shape) {
        if (mode != Mode.TRACING) {
            throw new IllegalStateException("only a tracing graph has placeholders");
        }
        return new Value(this, shape, null, null, false);
    }

    /** Returns the value of a parameter in this graph: the same one each time. It wants a gradient if the parameter is trainable. */
    public Value parameter(Parameter parameter) {
        return parameters.computeIfAbsent(
                parameter,
                p -> new Value(this, p.value().shape(), p.value(), p, mode == Mode.RECORDING && p.trainable()));
    }

    /**
     * Applies an op.
     *
     * @throws IllegalArgumentException if the operands' shapes do not fit the op
     */
    public Value apply(Op op, Value... inputs) {
        boolean wantsGradient = false;
        Shape[] shapes = new Shape[inputs.length];
        for (int i = 0; i < inputs.length; i++) {
            if (inputs[i].graph() != this) {
                throw new IllegalArgumentException(op + ": operand " + i + " belongs to another graph");
            }
            shapes[i] = inputs[i].shape();
            wantsGradient |= inputs[i].wantsGradient();
        }
        Shape shape = op.outputShape(shapes);
        Tensor result = null;
        if (mode != Mode.TRACING) {
            result = Tensor.zeros(shape);
            op.forward(compute, tensors(List.of(inputs)), result);
        }
        Value output = new Value(this, shape, result, null, mode == Mode.RECORDING && wantsGradient);
        if (mode == Mode.TRACING || output.wantsGradient()) {
            nodes.add(new Node(op, List.of(inputs), output));
        }
        return output;
    }

    /**
     * Walks the record backwards from a scalar.
     *
     * @return the gradient of {@code loss} with respect to every trainable parameter and variable that it depends on
     */
    public Gradients backward(Value loss) {
        if (loss.shape().size() != 1) {
            throw new IllegalArgumentException("a loss is one number, not " + loss.shape());
        }
        return backward(loss, Tensor.zeros(loss.shape()).fill(1));
    }

    /** Walks the record backwards from {@code output}, whose own gradient is {@code seed} (same shape). */
    public Gradients backward(Value output, Tensor seed) {
        if (mode != Mode.RECORDING) {
            throw new IllegalStateException("only a recording graph has gradients");
        }
        if (!seed.shape().equals(output.shape())) {
            throw new IllegalArgumentException("gradient " + seed.shape() + " for a value of shape " + output.shape());
        }
        IdentityHashMap<Value, Tensor> gradients = new IdentityHashMap<>();
        gradients.put(output, seed.copy());
        for (Node node : nodes.reversed()) {
            Tensor gradient = gradients.remove(node.output());
            if (gradient == null) {
                continue;
            }
            List<Value> inputs = node.inputs();
            boolean[] wanted = new boolean[inputs.size()];
            for (int i = 0; i < wanted.length; i++) {
                wanted[i] = inputs.get(i).wantsGradient();
            }
            @Nullable
            Tensor[] parts =
                    node.op().backward(compute, tensors(inputs), node.output().tensor(), gradient, wanted);
            for (int i = 0; i < wanted.length; i++) {
                Tensor part = parts[i];
                if (wanted[i] && part != null) {
                    Tensor sum = gradients.get(inputs.get(i));
                    if (sum == null) {
                        gradients.put(inputs.get(i), part);
                    } else {
                        // The sum is a tensor that some op made for us, never one that a caller can see.
                        new AddOp(1).forward(compute, new Tensor[] {sum, part}, sum);
                    }
                }
            }
        }
        return new Gradients(gradients, parameters);
    }

    /**
     * Returns the layer of {@code network} (else the op) that computed the first value of this record which is not finite, for
     * messages.
     */
    public Optional<String> firstNonFinite(Module network) {
        for (Node node : nodes) {
            for (float v : node.output().tensor().toArray()) {
                if (!Float.isFinite(v)) {
                    return Optional.of(network.parameters().entrySet().stream()
                            .filter(e -> node.inputs().stream().anyMatch(i -> i.parameter() == e.getValue()))
                            .map(Map.Entry::getKey)
                            .findFirst()
                            .orElse(node.op().toString()));
                }
            }
        }
        return Optional.empty();
    }

    /** Returns how often each value is read; the network's output is read once more, by the caller. */
    static IdentityHashMap<Value, Integer> readers(List<Node> nodes, Value out) {
        IdentityHashMap<Value, Integer> readers = new IdentityHashMap<>();
        readers.put(out, 1);
        for (Node node : nodes) {
            for (Value v : node.inputs()) {
                readers.merge(v, 1, Integer::sum);
            }
        }
        return readers;
    }

    /** Returns the record, in the order of execution. */
    List<Node> nodes() {
        return Collections.unmodifiableList(nodes);
    }

    private static Tensor[] tensors(List<Value> values) {
        return values.stream().map(Value::tensor).toArray(Tensor[]::new);
    }
}
