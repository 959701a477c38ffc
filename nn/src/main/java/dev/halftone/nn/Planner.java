// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.nn.op.Conv2dOp;
import dev.halftone.nn.op.Op;
import dev.halftone.nn.op.Reach;
import dev.halftone.nn.op.WinogradConv2dOp;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.WinogradWeight;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Compiles {@link Plan}s of one network for many shapes; they share the transformed weights. The network must not change any more.
 * Thread-safe.
 */
public final class Planner {
    private final Compute compute;
    private final Module network;
    private final Map<Source, WinogradWeight> weights = new HashMap<>();

    /** What transformed weights are made of; tensors are equal if they are the same. */
    private record Source(Tensor weight, @Nullable Tensor bias, int shuffle) {}

    /** Creates a planner. */
    public Planner(Compute compute, Module network) {
        this.compute = compute;
        this.network = network;
    }

    /** What a network does with a shape. */
    private record Trace(List<Graph.Node> nodes, Value in, Value out) {
        /** Returns whether the plan can compute bands of rows, which must make whole groups of rows everywhere. */
        boolean worksOnRows() {
            if (in.shape().rank() != 4) {
                return false;
            }
            int height = in.shape().dim(1);
            for (Graph.Node node : nodes) {
                Reach reach = node.reach();
                Shape shape = node.output().shape();
                if (reach == null
                        || shape.dim(1) % height != 0
                        || Plan.GRAIN * (shape.dim(1) / height) % reach.grain() != 0) {
                    return false;
                }
            }
            return true;
        }
    }

    private Trace trace(Shape inputShape) {
        Graph graph = Graph.tracing(compute);
        Value in = graph.placeholder(inputShape);
        Value out = network.forward(in);
        return new Trace(fuse(transform(graph.nodes()), out), in, out);
    }

    /**
     * Compiles the network for one input shape.
     *
     * @param memory what {@link Plan#bufferBytes} should not exceed; it does where even the smallest bands need more, or where an op
     *     of the network does not work on rows
     * @throws IllegalArgumentException if the network refuses the shape
     */
    public synchronized Plan plan(Shape inputShape, long memory) {
        Trace trace = trace(inputShape);
        IdentityHashMap<Op, WinogradWeight> ready = new IdentityHashMap<>();
        int scratch = 0;
        for (Graph.Node node : trace.nodes) {
            if (node.op() instanceof WinogradConv2dOp op) {
                WinogradWeight weight =
                        weights.computeIfAbsent(new Source(op.weight(), op.bias(), op.shuffle()), _ -> op.transform());
                ready.put(op, weight);
                scratch = Math.max(scratch, KernelProvider.kernels().conv().winogradScratch(weight));
            }
        }
        long scratchBytes = 4L * scratch * compute.threads();
        Layout layout = new Layout(trace.nodes, trace.in, trace.out, ready, 0);
        if (trace.worksOnRows()) {
            for (int band = inputShape.dim(1); layout.bytes() + scratchBytes > memory && band > Plan.GRAIN; ) {
                band = Math.max(Plan.GRAIN, band / 2 / Plan.GRAIN * Plan.GRAIN);
                layout = new Layout(trace.nodes, trace.in, trace.out, ready, band);
            }
        }
        return new Plan(compute, inputShape, trace.out.shape(), layout, scratchBytes);
    }

    /**
     * Returns how far beyond rows and columns that begin and end at multiples of 4 of its input the network looks, so that a part of an
     * image with so much around it gives the bits of the whole image; or -1 if some op of it does not work on rows.
     *
     * @param inputShape any shape that the network takes, {@code [1, H, W, C]}
     */
    public synchronized int margin(Shape inputShape) {
        Trace trace = trace(inputShape);
        if (!trace.worksOnRows()) {
            return -1;
        }
        IdentityHashMap<Value, Integer> margins = new IdentityHashMap<>();
        margins.put(trace.out, 0);
        for (Graph.Node node : trace.nodes.reversed()) {
            Reach reach = node.reach();
            Integer margin = margins.get(node.output());
            if (reach != null && margin != null) {
                int others = new Reach(0, reach.factor(), reach.grain()).margin(margin);
                node.inputs().forEach(v -> margins.merge(v, others, Math::max));
                margins.merge(node.inputs().getFirst(), reach.margin(margin), Math::max);
            }
        }
        return margins.getOrDefault(trace.in, 0);
    }

    /** Lets 3x3 convolutions whose weights are known run by Winograd's algorithm. */
    private static List<Graph.Node> transform(List<Graph.Node> nodes) {
        List<Graph.Node> transformed = new ArrayList<>();
        for (Graph.Node node : nodes) {
            List<Value> inputs = node.inputs();
            Op op = null;
            if (node.op() instanceof Conv2dOp conv) {
                Tensor weight = inputs.get(1).tensorOrNull();
                Tensor bias = inputs.size() > 2 ? inputs.get(2).tensorOrNull() : null;
                if (weight != null && (inputs.size() == 2 || bias != null)) {
                    op = WinogradConv2dOp.of(conv, weight, bias);
                }
            }
            transformed.add(op == null ? node : new Graph.Node(op, List.of(inputs.getFirst()), node.output()));
        }
        return transformed;
    }

    /** Merges each op with the one that follows it, where the first one's output has no other reader and a kernel does both. */
    private static List<Graph.Node> fuse(List<Graph.Node> nodes, Value out) {
        IdentityHashMap<Value, Integer> readers = Graph.readers(nodes, out);
        List<Graph.Node> fused = new ArrayList<>();
        for (Graph.Node node : nodes) {
            Graph.Node last = fused.isEmpty() ? null : fused.getLast();
            int operand = last == null ? -1 : node.inputs().indexOf(last.output());
            if (last != null && operand >= 0 && readers.getOrDefault(last.output(), 0) == 1) {
                Value between = last.output();
                boolean alike = node.inputs().stream().allMatch(v -> v.shape().equals(between.shape()));
                Op both = alike ? last.op().fuse(node.op(), operand) : null;
                if (both != null) {
                    List<Value> operands = new ArrayList<>(last.inputs());
                    operands.addAll(node.inputs());
                    operands.remove(between);
                    fused.set(fused.size() - 1, new Graph.Node(both, operands, node.output()));
                    continue;
                }
            }
            fused.add(node);
        }
        return fused;
    }
}
