// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.nn.op.Op;
import dev.halftone.nn.op.QuantizedConv2dOp;
import dev.halftone.nn.op.Reach;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.ActivationCodes;
import dev.halftone.tensor.kernels.WinogradWeight;
import java.io.IOException;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The steps of a plan and the places of its values, for bands of a certain height: how much memory each place needs, found by a run
 * without arithmetic, and which places share it.
 */
final class Layout {
    /** A buffer, allocated when it is first used. */
    private static final class Memory {
        final long size;
        float @Nullable [] array;

        Memory(long size) {
            this.size = size;
        }
    }

    /** Buffers of codes whose layout, width and capacity are the same. */
    private static final class CodeMemory {
        final Place.Codes first;

        @Nullable
        ActivationCodes codes;

        CodeMemory(Place.Codes first) {
            this.first = first;
        }
    }

    /** Rows of the input that a pass begins with, at most. */
    final int band;

    final Place.Values input;
    final Place.Values output;
    final List<Step> steps = new ArrayList<>();
    private final List<Place> places = new ArrayList<>();
    private final IdentityHashMap<Value, Place.Values> values = new IdentityHashMap<>();
    private final IdentityHashMap<Place.Values, Memory> memories = new IdentityHashMap<>();
    private final IdentityHashMap<Place.Codes, CodeMemory> codeMemories = new IdentityHashMap<>();
    private final boolean whole;
    private long bytes;

    /**
     * Lays out a plan.
     *
     * @param weights the transformed weights of the ops that want them
     * @param band rows of the input, a multiple of {@link Plan#GRAIN}; or 0 to compute every value as a whole
     */
    Layout(List<Graph.Node> nodes, Value in, Value out, IdentityHashMap<Op, WinogradWeight> weights, int band) {
        this.whole = band == 0;
        this.band = Math.max(1, band);
        input = place(in);
        addSteps(nodes, out, weights);
        Place.Values result = values.get(out);
        if (result == null) {
            throw new IllegalArgumentException("the network returned a value that it did not compute");
        }
        output = result;
        setFinishes();
        measure();
        assignMemory();
    }

    private int height(Shape shape) {
        return whole ? 1 : shape.dim(1);
    }

    private Place.Values place(Value v) {
        Place.Values place = values.get(v);
        if (place == null) {
            Tensor known = v.tensorOrNull();
            place = known == null ? new Place.Values(v.shape(), height(v.shape())) : Place.Values.constant(known);
            values.put(v, place);
            if (known == null) {
                places.add(place);
            }
        }
        return place;
    }

    private Place.Codes codes(QuantizedConv2dOp op, Shape shape) {
        Place.Codes place = new Place.Codes(op.conv(), shape, height(shape));
        places.add(place);
        return place;
    }

    /** The input of a packed convolution has a place for its codes, which a packed convolution that computes it fills on the way. */
    private void addSteps(List<Graph.Node> nodes, Value out, IdentityHashMap<Op, WinogradWeight> weights) {
        IdentityHashMap<Value, Integer> readers = Graph.readers(nodes, out);
        IdentityHashMap<Value, QuantizedConv2dOp> handover = handover(nodes);
        IdentityHashMap<Value, Place.Codes> handed = new IdentityHashMap<>();
        for (Graph.Node node : nodes) {
            Value x = node.inputs().getFirst();
            Value y = node.output();
            Reach reach = whole ? Reach.ROW : node.reach();
            if (reach == null) {
                throw new IllegalArgumentException(node.op() + " does not work on rows");
            }
            if (node.op() instanceof QuantizedConv2dOp op) {
                Place.Codes own = handed.remove(x);
                if (own == null) {
                    own = codes(op, x.shape());
                    steps.add(new Step.Quantize(op, place(x), own));
                }
                QuantizedConv2dOp next = handover.get(y);
                Place.Codes nextCodes = null;
                if (next != null) {
                    nextCodes = codes(next, y.shape());
                    handed.put(y, nextCodes);
                }
                boolean wanted = next == null || readers.getOrDefault(y, 0) > 1;
                steps.add(new Step.Packed(
                        op,
                        reach,
                        own,
                        op.residual() ? place(node.inputs().get(1)) : null,
                        wanted ? place(y) : null,
                        nextCodes));
            } else {
                List<Place.Values> operands =
                        node.inputs().stream().map(this::place).toList();
                steps.add(new Step.Apply(node.op(), reach, operands, place(y), weights.get(node.op())));
            }
        }
    }

    /** Returns which packed convolution a value's producer, itself packed, quantizes it for: the first one that reads it. */
    private static IdentityHashMap<Value, QuantizedConv2dOp> handover(List<Graph.Node> nodes) {
        IdentityHashMap<Value, QuantizedConv2dOp> handover = new IdentityHashMap<>();
        IdentityHashMap<Value, Boolean> packed = new IdentityHashMap<>();
        for (Graph.Node node : nodes) {
            if (node.op() instanceof QuantizedConv2dOp op) {
                Value x = node.inputs().getFirst();
                if (packed.containsKey(x)) {
                    handover.putIfAbsent(x, op);
                }
                packed.put(node.output(), true);
            }
        }
        return handover;
    }

    /** Every place ends with the last step that touches it; the output with the pass. */
    private void setFinishes() {
        IdentityHashMap<Place, Step> last = new IdentityHashMap<>();
        for (Step step : steps) {
            step.writes.forEach(p -> last.put(p, step));
        }
        for (Place place : places) {
            for (Place.Reader reader : place.readers) {
                last.put(place, reader.step());
            }
        }
        for (Place place : places) {
            Step step = last.get(place);
            if (step != null && place != output) {
                step.finishes.add(place);
            }
        }
    }

    /** Fills the next rows of the input, from row {@code from} to {@code to} of the map. */
    @FunctionalInterface
    interface Source {
        void fill(Place.Values input, int from, int to) throws IOException;
    }

    /** Runs without arithmetic, for the capacities. */
    private void measure() {
        places.forEach(Place::reset);
        while (output.done < output.height) {
            int target = Math.min(input.height, input.done + band);
            input.begin(target, true);
            input.done = target;
            for (Step step : steps) {
                step.advance(rows(step), null);
            }
            output.finish(true);
        }
    }

    /** Returns whether every value is computed as a whole. */
    boolean whole() {
        return whole;
    }

    /** Prepares for the first pass. */
    void begin() {
        allocate();
        places.forEach(Place::reset);
    }

    /** Computes the next rows. The rows of the output that the last pass has computed are given up. */
    void pass(Compute compute, Source source) throws IOException {
        output.from = output.done;
        int target = Math.min(input.height, input.done + band);
        input.begin(target, false);
        source.fill(input, input.done, target);
        input.done = target;
        for (Step step : steps) {
            step.advance(rows(step), compute);
        }
    }

    /** Returns how many rows of its output a step computes in a pass, at most: in proportion to the band. */
    private int rows(Step step) {
        return Math.toIntExact((long) band * step.height() / input.height);
    }

    private void assignMemory() {
        List<Memory> free = new ArrayList<>();
        List<CodeMemory> freeCodes = new ArrayList<>();
        if (!whole) {
            memories.put(input, take(free, input));
        }
        for (Step step : steps) {
            Place.Values over = step.overwrites();
            Memory reused = over == null ? null : memories.get(over);
            for (Place place : step.writes) {
                if (place instanceof Place.Values v) {
                    memories.put(v, reused == null ? take(free, v) : reused);
                } else if (place instanceof Place.Codes c) {
                    codeMemories.put(c, takeCodes(freeCodes, c));
                }
            }
            for (Place place : step.finishes) {
                Memory memory = memories.get(place);
                if (memory != null && memory != reused) {
                    free.add(memory);
                }
                CodeMemory codes = codeMemories.get(place);
                if (codes != null) {
                    freeCodes.add(codes);
                }
            }
        }
        for (Place place : places) {
            bytes += place.carryBytes();
        }
    }

    /** Returns the smallest free memory that is large enough, else new memory. */
    private Memory take(List<Memory> free, Place.Values place) {
        long size = place.capacity * place.rowSize();
        Memory best = null;
        for (Memory m : free) {
            if (m.size >= size && (best == null || m.size < best.size)) {
                best = m;
            }
        }
        if (best == null) {
            bytes += 4 * size;
            return new Memory(size);
        }
        free.remove(best);
        return best;
    }

    private CodeMemory takeCodes(List<CodeMemory> free, Place.Codes place) {
        for (CodeMemory memory : free) {
            if (memory.first.fits(place)) {
                free.remove(memory);
                return memory;
            }
        }
        bytes += place.bytes(place.capacity);
        return new CodeMemory(place);
    }

    /** Allocates what is not allocated yet. */
    private void allocate() {
        memories.forEach((place, memory) -> {
            if (memory.array == null) {
                memory.array = new float[Math.toIntExact(memory.size)];
            }
            place.use(memory.array, 0);
        });
        codeMemories.forEach((place, memory) -> {
            if (memory.codes == null) {
                memory.codes = memory.first.allocate();
            }
            place.use(memory.codes);
        });
    }

    /** Returns the bytes of all buffers. */
    long bytes() {
        return bytes;
    }
}
