// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.nn.op.Op;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A network compiled for one input shape: the recorded ops in order, neighbours fused where a kernel does both, and a fixed set
 * of buffers that values share once the former occupant is dead.
 *
 * <p>A plan owns its buffers, so one plan serves one thread at a time.
 */
public final class Plan {
    /** A value's place: a buffer that {@link #run} fills, or a tensor known at compile time. */
    private static final class Slot {
        final Shape shape;
        int lastUse = -1;

        @Nullable
        Tensor tensor;

        Slot(Shape shape, @Nullable Tensor tensor) {
            this.shape = shape;
            this.tensor = tensor;
        }

        Tensor tensor() {
            if (tensor == null) {
                throw new IllegalStateException("a value of shape " + shape + " is used before it is computed");
            }
            return tensor;
        }
    }

    private record Step(Op op, List<Slot> inputs, Slot output) {
        void run(Compute compute) {
            op.forward(compute, inputs.stream().map(Slot::tensor).toArray(Tensor[]::new), output.tensor());
        }
    }

    private final Compute compute;
    private final Slot input;
    private final Slot output;
    private final List<Step> steps;
    private final long bufferBytes;

    private Plan(Compute compute, Slot input, Slot output, List<Step> steps, long bufferBytes) {
        this.compute = compute;
        this.input = input;
        this.output = output;
        this.steps = steps;
        this.bufferBytes = bufferBytes;
    }

    /**
     * Compiles {@code network} for one input shape.
     *
     * @throws IllegalArgumentException if the network refuses the shape
     */
    public static Plan compile(Compute compute, Module network, Shape inputShape) {
        Graph graph = Graph.tracing(compute);
        Value in = graph.placeholder(inputShape);
        Value out = network.forward(in);

        IdentityHashMap<Value, Slot> slots = new IdentityHashMap<>();
        Slot inputSlot = new Slot(inputShape, null);
        slots.put(in, inputSlot);
        List<Step> steps = new ArrayList<>();
        for (Graph.Node node : fuse(graph.nodes(), out)) {
            List<Slot> operands = new ArrayList<>();
            for (Value v : node.inputs()) {
                Slot operand = slots.computeIfAbsent(v, w -> new Slot(w.shape(), w.tensorOrNull()));
                operand.lastUse = steps.size();
                operands.add(operand);
            }
            Slot result = new Slot(node.output().shape(), null);
            slots.put(node.output(), result);
            steps.add(new Step(node.op(), operands, result));
        }
        Slot outputSlot = slots.get(out);
        if (outputSlot == null) {
            throw new IllegalArgumentException("the network returned a value that it did not compute");
        }
        long bytes = assignBuffers(steps, inputSlot, outputSlot);
        return new Plan(compute, inputSlot, outputSlot, steps, bytes);
    }

    /** Merges each op with the one that follows it, where the first one's output has no other reader and a kernel does both. */
    private static List<Graph.Node> fuse(List<Graph.Node> nodes, Value out) {
        IdentityHashMap<Value, Integer> readers = new IdentityHashMap<>();
        readers.put(out, 1);
        for (Graph.Node node : nodes) {
            for (Value v : node.inputs()) {
                readers.merge(v, 1, Integer::sum);
            }
        }
        List<Graph.Node> fused = new ArrayList<>();
        for (Graph.Node node : nodes) {
            Graph.Node last = fused.isEmpty() ? null : fused.getLast();
            if (last != null
                    && node.inputs().size() == 1
                    && node.inputs().getFirst() == last.output()
                    && readers.getOrDefault(last.output(), 0) == 1) {
                Op both = last.op().fuse(node.op());
                if (both != null) {
                    fused.set(fused.size() - 1, new Graph.Node(both, last.inputs(), node.output()));
                    continue;
                }
            }
            fused.add(node);
        }
        return fused;
    }

    /** Gives every computed value a buffer, reusing those of dead values, and returns the bytes of all buffers. */
    private static long assignBuffers(List<Step> steps, Slot input, Slot output) {
        List<float[]> free = new ArrayList<>();
        IdentityHashMap<Slot, float[]> owned = new IdentityHashMap<>();
        long bytes = 0;
        output.lastUse = Integer.MAX_VALUE;
        for (int i = 0; i < steps.size(); i++) {
            Step step = steps.get(i);
            Slot first = step.inputs().getFirst();
            float[] buffer = null;
            if (step.op().elementwise() && first.lastUse == i && first.shape.equals(step.output().shape)) {
                buffer = owned.remove(first);
            }
            if (buffer == null) {
                buffer = takeSmallest(free, step.output().shape.size());
            }
            if (buffer == null) {
                buffer = new float[step.output().shape.size()];
                bytes += 4L * buffer.length;
            }
            owned.put(step.output(), buffer);
            step.output().tensor = Tensor.wrap(buffer, 0, step.output().shape);
            for (Slot operand : step.inputs()) {
                if (operand != input && operand.lastUse == i) {
                    float[] dead = owned.remove(operand);
                    if (dead != null) {
                        free.add(dead);
                    }
                }
            }
        }
        return bytes;
    }

    private static float @Nullable [] takeSmallest(List<float[]> free, int size) {
        int best = -1;
        for (int i = 0; i < free.size(); i++) {
            int length = free.get(i).length;
            if (length >= size && (best < 0 || length < free.get(best).length)) {
                best = i;
            }
        }
        return best < 0 ? null : free.remove(best);
    }

    /** Returns the input shape that this plan was compiled for. */
    public Shape inputShape() {
        return input.shape;
    }

    /** Returns the output shape. */
    public Shape outputShape() {
        return output.shape;
    }

    /** Returns the number of ops that a run executes, after fusion. */
    int steps() {
        return steps.size();
    }

    /** Returns the bytes of all intermediate buffers. */
    public long bufferBytes() {
        return bufferBytes;
    }

    /**
     * Executes the plan.
     *
     * @param x a tensor of {@link #inputShape()}
     * @return the output; it is a buffer of this plan and is overwritten by the next run
     */
    public Tensor run(Tensor x) {
        if (!x.shape().equals(input.shape)) {
            throw new IllegalArgumentException("this plan is for input " + input.shape + ", not " + x.shape());
        }
        input.tensor = x;
        for (Step step : steps) {
            step.run(compute);
        }
        return output.tensor();
    }
}
