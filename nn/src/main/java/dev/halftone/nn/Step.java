// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.nn.op.Op;
import dev.halftone.nn.op.QuantizedConv2dOp;
import dev.halftone.nn.op.Reach;
import dev.halftone.nn.op.WinogradConv2dOp;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.ConvOutput;
import dev.halftone.tensor.kernels.WinogradWeight;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** What a plan does in a pass, in order: computes the next rows of one value. */
abstract class Step {
    /** How rows depend on each other; of values that are computed as a whole, that is a single row. */
    final Reach reach;
    /** What it writes: fp32 values, codes, or both. */
    final List<Place> writes;
    /** What no later step of a pass reads. */
    final List<Place> finishes = new ArrayList<>();

    private final List<Place> reads;

    Step(Reach reach, List<Place> reads, List<Place> writes) {
        this.reach = reach;
        this.reads = reads;
        this.writes = writes;
        for (int i = 0; i < reads.size(); i++) {
            reads.get(i).readers.add(new Place.Reader(this, radius(i)));
        }
    }

    /** Only the first operand is read beyond the rows that are computed. */
    private int radius(int operand) {
        return operand == 0 ? reach.radius() : 0;
    }

    final int height() {
        return writes.getFirst().height;
    }

    final int done() {
        return writes.getFirst().done;
    }

    /** Returns the end of the rows that can be computed now, at most {@code most} more than there are. */
    final int target(int most) {
        int end = height();
        for (int i = 0; i < reads.size(); i++) {
            Place place = reads.get(i);
            if (place.done < place.height) {
                int rows = Math.max(0, place.done - radius(i));
                end = Math.min(end, rows * reach.factor() / reach.grain() * reach.grain());
            }
        }
        return Math.clamp(end, done(), (int) Math.min(Integer.MAX_VALUE, (long) done() + most));
    }

    /** Returns the first row of an operand that further rows need. */
    final int needs(int radius, int operandHeight) {
        return done() == height() ? operandHeight : Math.max(0, done() / reach.factor() - radius);
    }

    /**
     * Does this step's part of a pass.
     *
     * @param most how many rows to compute at most
     * @param compute null to count rows only
     */
    final void advance(int most, @Nullable Compute compute) {
        int target = target(most);
        for (Place place : writes) {
            place.begin(target, compute == null);
        }
        if (compute != null && target > done()) {
            run(compute, done(), target);
        }
        for (Place place : writes) {
            place.done = target;
        }
        for (Place place : finishes) {
            place.finish(compute == null);
        }
    }

    /** Returns the operand over which the output may be written, or null. */
    Place.@Nullable Values overwrites() {
        return null;
    }

    /** Computes rows {@code [from, to)}. */
    abstract void run(Compute compute, int from, int to);

    /** Returns the first row of the first operand that rows from {@code from} on need; below 0 where the map has no such row. */
    final int operandFrom(int from) {
        return from / reach.factor() - reach.radius();
    }

    /** Returns the end of the rows of the first operand that rows up to {@code to} need, perhaps beyond the map. */
    final int operandTo(int to) {
        return Math.ceilDiv(to, reach.factor()) + reach.radius();
    }

    /** An op with its operands. */
    static final class Apply extends Step {
        private final Op op;
        private final List<Place.Values> places;
        private final Tensor[] operands;
        private final Place.Values output;
        private final @Nullable WinogradWeight weight;

        Apply(Op op, Reach reach, List<Place.Values> places, Place.Values output, @Nullable WinogradWeight weight) {
            super(reach, List.copyOf(places), List.of(output));
            this.op = op;
            this.places = places;
            this.operands = new Tensor[places.size()];
            this.output = output;
            this.weight = weight;
        }

        @Override
        Place.@Nullable Values overwrites() {
            Place.Values x = places.getFirst();
            boolean last = x.height == 1 && finishes.contains(x);
            return last && op.elementwise() && x.shape.equals(output.shape) ? x : null;
        }

        @Override
        void run(Compute compute, int from, int to) {
            Place.Values x = places.getFirst();
            int top = Math.max(0, -operandFrom(from));
            int bottom = Math.max(0, operandTo(to) - x.height);
            operands[0] = x.rows(operandFrom(from) + top, operandTo(to) - bottom);
            for (int i = 1; i < operands.length; i++) {
                operands[i] = places.get(i).rows(from / reach.factor(), Math.ceilDiv(to, reach.factor()));
            }
            Tensor rows = output.rows(from, to);
            boolean whole = output.height == 1;
            if (op instanceof WinogradConv2dOp conv && weight != null) {
                conv.run(compute, weight, operands, rows, whole ? 1 : top, whole ? 1 : bottom);
            } else if (whole) {
                op.forward(compute, operands, rows);
            } else {
                op.forward(compute, operands, rows, top, bottom);
            }
        }
    }

    /** Quantizes the input of a packed convolution, where no packed convolution has done that already. */
    static final class Quantize extends Step {
        private final QuantizedConv2dOp op;
        private final Place.Values x;
        private final Place.Codes codes;

        Quantize(QuantizedConv2dOp op, Place.Values x, Place.Codes codes) {
            super(Reach.ROW, List.of(x), List.of(codes));
            this.op = op;
            this.x = x;
            this.codes = codes;
        }

        @Override
        void run(Compute compute, int from, int to) {
            op.quantize(compute, x.rows(from, to), codes.rows(from, to));
        }
    }

    /** A packed convolution: reads codes, writes values, or codes for the next one, or both. */
    static final class Packed extends Step {
        private final QuantizedConv2dOp op;
        private final Place.Codes codes;
        private final Place.@Nullable Values residual;
        private final Place.@Nullable Values y;
        private final Place.@Nullable Codes next;

        Packed(
                QuantizedConv2dOp op,
                Reach reach,
                Place.Codes codes,
                Place.@Nullable Values residual,
                Place.@Nullable Values y,
                Place.@Nullable Codes next) {
            super(reach, present(codes, residual), present(y, next));
            this.op = op;
            this.codes = codes;
            this.residual = residual;
            this.y = y;
            this.next = next;
        }

        private static List<Place> present(@Nullable Place... places) {
            return Stream.of(places).filter(Objects::nonNull).toList();
        }

        @Override
        void run(Compute compute, int from, int to) {
            op.run(
                    compute,
                    codes.rows(from, to),
                    new ConvOutput(
                            op.relu(),
                            residual == null ? null : residual.rows(from, to),
                            op.scale(),
                            y == null ? null : y.rows(from, to),
                            next == null ? null : next.conv,
                            next == null ? null : next.rows(from, to)));
        }
    }
}
