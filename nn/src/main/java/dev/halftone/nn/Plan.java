// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.nn.op.Op;
import dev.halftone.nn.op.QuantizedConv2dOp;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.ActivationCodes;
import dev.halftone.tensor.kernels.ConvOutput;
import dev.halftone.tensor.kernels.PackedConv;
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

    /** What a run does, in order. */
    private interface Step {
        void run(Compute compute);
    }

    /** An op with its operands. */
    private static final class OpStep implements Step {
        private final Op op;
        private final Slot[] inputs;
        private final Tensor[] operands;
        private final Slot output;

        OpStep(Op op, List<Slot> inputs, Slot output) {
            this.op = op;
            this.inputs = inputs.toArray(Slot[]::new);
            this.operands = new Tensor[this.inputs.length];
            this.output = output;
        }

        @Override
        public void run(Compute compute) {
            for (int i = 0; i < operands.length; i++) {
                operands[i] = inputs[i].tensor();
            }
            op.forward(compute, operands, output.tensor());
        }
    }

    /**
     * A packed convolution with its buffer of codes.
     *
     * @param x the operand to quantize; null where the step before has written the codes
     * @param y null where only {@code next} reads the result
     */
    private record PackedStep(
            QuantizedConv2dOp op,
            @Nullable Slot x,
            ActivationCodes codes,
            @Nullable Slot residual,
            @Nullable Slot y,
            @Nullable PackedConv next,
            @Nullable ActivationCodes nextCodes)
            implements Step {
        @Override
        public void run(Compute compute) {
            if (x != null) {
                op.quantize(compute, x.tensor(), codes);
            }
            op.run(
                    compute,
                    codes,
                    new ConvOutput(
                            op.relu(),
                            residual == null ? null : residual.tensor(),
                            op.scale(),
                            y == null ? null : y.tensor(),
                            next,
                            nextCodes));
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

        List<Graph.Node> nodes = fuse(graph.nodes(), out);
        Buffers buffers = new Buffers(nodes, in, out);
        List<Step> steps = new ArrayList<>();
        for (Graph.Node node : nodes) {
            steps.add(buffers.step(node));
        }
        return new Plan(compute, buffers.slot(in), buffers.slot(out), steps, buffers.bytes);
    }

    /** Merges each op with the one that follows it, where the first one's output has no other reader and a kernel does both. */
    private static List<Graph.Node> fuse(List<Graph.Node> nodes, Value out) {
        IdentityHashMap<Value, Integer> readers = readers(nodes, out);
        List<Graph.Node> fused = new ArrayList<>();
        for (Graph.Node node : nodes) {
            Graph.Node last = fused.isEmpty() ? null : fused.getLast();
            int operand = last == null ? -1 : node.inputs().indexOf(last.output());
            boolean alike = node.inputs().stream()
                    .allMatch(v -> v.shape().equals(node.output().shape()));
            if (last != null && operand >= 0 && alike && readers.getOrDefault(last.output(), 0) == 1) {
                Op both = last.op().fuse(node.op(), operand);
                if (both != null) {
                    List<Value> operands = new ArrayList<>(last.inputs());
                    operands.addAll(node.inputs());
                    operands.remove(last.output());
                    fused.set(fused.size() - 1, new Graph.Node(both, operands, node.output()));
                    continue;
                }
            }
            fused.add(node);
        }
        return fused;
    }

    /** Returns how often each value is read; the network's output is read once more, by the caller. */
    private static IdentityHashMap<Value, Integer> readers(List<Graph.Node> nodes, Value out) {
        IdentityHashMap<Value, Integer> readers = new IdentityHashMap<>();
        readers.put(out, 1);
        for (Graph.Node node : nodes) {
            for (Value v : node.inputs()) {
                readers.merge(v, 1, Integer::sum);
            }
        }
        return readers;
    }

    /**
     * Gives every computed value a place as the ops are walked in order: a buffer that a dead value has left, or a new one. The input
     * of a packed convolution also has a place for its codes, which the packed convolution that computes the value fills on the way.
     */
    private static final class Buffers {
        private final Value in;
        private final Value out;
        private final IdentityHashMap<Value, Integer> readers;
        /** The packed convolution that a value's producer quantizes it for: the first one that reads it. */
        private final IdentityHashMap<Value, QuantizedConv2dOp> handover = new IdentityHashMap<>();

        private final IdentityHashMap<Value, Slot> slots = new IdentityHashMap<>();
        private final IdentityHashMap<Value, float[]> owned = new IdentityHashMap<>();
        private final List<float[]> free = new ArrayList<>();
        private final IdentityHashMap<Value, ActivationCodes> codes = new IdentityHashMap<>();
        private final List<ActivationCodes> freeCodes = new ArrayList<>();
        private long bytes;

        Buffers(List<Graph.Node> nodes, Value in, Value out) {
            this.in = in;
            this.out = out;
            this.readers = readers(nodes, out);
            slots.put(in, new Slot(in.shape(), null));
            IdentityHashMap<Value, Boolean> packed = new IdentityHashMap<>();
            for (Graph.Node node : nodes) {
                Value x = node.inputs().getFirst();
                if (node.op() instanceof QuantizedConv2dOp op) {
                    if (packed.containsKey(x)) {
                        handover.putIfAbsent(x, op);
                    }
                    packed.put(node.output(), true);
                }
            }
        }

        Slot slot(Value v) {
            if (v == out && !slots.containsKey(v)) {
                throw new IllegalArgumentException("the network returned a value that it did not compute");
            }
            return slots.computeIfAbsent(v, w -> new Slot(w.shape(), w.tensorOrNull()));
        }

        Step step(Graph.Node node) {
            Step step = node.op() instanceof QuantizedConv2dOp op ? packed(node, op) : plain(node);
            node.inputs().forEach(this::read);
            return step;
        }

        private Step plain(Graph.Node node) {
            Value first = node.inputs().getFirst();
            List<Slot> operands = node.inputs().stream().map(this::slot).toList();
            float[] buffer = node.op().elementwise()
                            && lastRead(first, node)
                            && first.shape().equals(node.output().shape())
                    ? owned.remove(first)
                    : null;
            return new OpStep(node.op(), operands, store(node.output(), buffer));
        }

        private Step packed(Graph.Node node, QuantizedConv2dOp op) {
            Value x = node.inputs().getFirst();
            Value y = node.output();
            Slot input = null;
            ActivationCodes own = codes.remove(x);
            if (own == null) {
                input = slot(x);
                own = takeCodes(op.conv(), x.shape());
            }
            QuantizedConv2dOp next = handover.get(y);
            ActivationCodes nextCodes = null;
            if (next != null) {
                nextCodes = takeCodes(next.conv(), y.shape());
                codes.put(y, nextCodes);
            }
            freeCodes.add(own);
            return new PackedStep(
                    op,
                    input,
                    own,
                    op.residual() ? slot(node.inputs().get(1)) : null,
                    next == null || readers.getOrDefault(y, 0) > 1 ? store(y, null) : null,
                    next == null ? null : next.conv(),
                    nextCodes);
        }

        /** Gives a value its place. */
        private Slot store(Value value, float @Nullable [] reused) {
            int size = value.shape().size();
            float[] buffer = reused == null ? takeSmallest(free, size) : reused;
            if (buffer == null) {
                buffer = new float[size];
                bytes += 4L * size;
            }
            owned.put(value, buffer);
            Slot slot = new Slot(value.shape(), Tensor.wrap(buffer, 0, value.shape()));
            slots.put(value, slot);
            return slot;
        }

        private ActivationCodes takeCodes(PackedConv conv, Shape shape) {
            for (ActivationCodes c : freeCodes) {
                if (c.shape().equals(shape) && conv.accepts(c)) {
                    freeCodes.remove(c);
                    return c;
                }
            }
            ActivationCodes c = conv.allocate(shape.dim(0), shape.dim(1), shape.dim(2));
            bytes += c.bytes();
            return c;
        }

        private boolean lastRead(Value v, Graph.Node node) {
            return v != in
                    && readers.getOrDefault(v, 0)
                            == node.inputs().stream().filter(w -> w == v).count();
        }

        /** Counts a reading; after the last one the value's buffer is free. */
        private void read(Value v) {
            if (readers.merge(v, -1, Integer::sum) == 0) {
                float[] dead = owned.remove(v);
                if (dead != null) {
                    free.add(dead);
                }
            }
        }
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
