// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.nn.op.WinogradConv2dOp;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.jspecify.annotations.Nullable;

/**
 * A network compiled for one input shape: the recorded ops in order, neighbours fused where a kernel does both, 3x3 convolutions with
 * their weights transformed, and a fixed set of buffers that values share.
 *
 * <p>Where every op works on rows, a plan computes the feature maps in bands of rows from top to bottom, as many rows at a time as
 * its memory allows. Of each value it keeps the few rows that the next band needs, so nothing is computed twice and the result is
 * that of the whole map, bit for bit. Memory grows with the width of the image only.
 *
 * <p>A plan owns its buffers, so one plan serves one thread at a time. The network must not change any more.
 */
public final class Plan {
    /** What a plan may take for its buffers unless told otherwise. */
    public static final long DEFAULT_MEMORY = 256L << 20;

    /** Feature maps are computed in bands of a multiple of so many rows: the tiles of {@link WinogradConv2dOp}. */
    static final int GRAIN = 4;

    /** A feature map that comes row by row. */
    @FunctionalInterface
    public interface Rows {
        /** Fills {@code row} with the next row, {@code [W, C]}. */
        void next(float[] row) throws IOException;
    }

    private final Compute compute;
    private final Shape inputShape;
    private final Shape outputShape;
    private final Layout layout;
    private final long scratchBytes;
    private @Nullable Tensor result;

    Plan(Compute compute, Shape inputShape, Shape outputShape, Layout layout, long scratchBytes) {
        this.compute = compute;
        this.inputShape = inputShape;
        this.outputShape = outputShape;
        this.layout = layout;
        this.scratchBytes = scratchBytes;
    }

    /**
     * Compiles {@code network} for one input shape, with {@link #DEFAULT_MEMORY}; see {@link Planner} for more.
     *
     * @throws IllegalArgumentException if the network refuses the shape
     */
    public static Plan compile(Compute compute, Module network, Shape inputShape) {
        return new Planner(compute, network).plan(inputShape, DEFAULT_MEMORY);
    }

    /** Returns the input shape that this plan was compiled for. */
    public Shape inputShape() {
        return inputShape;
    }

    /** Returns the output shape. */
    public Shape outputShape() {
        return outputShape;
    }

    /** Returns the number of steps of a pass, after fusion. */
    int steps() {
        return layout.steps.size();
    }

    /** Returns how many rows of the input are computed at a time. */
    int band() {
        return layout.band;
    }

    /** Returns the bytes of all intermediate buffers; not of weights, and not of the result of {@link #run}. */
    public long bufferBytes() {
        return layout.bytes() + scratchBytes;
    }

    /**
     * Executes the plan.
     *
     * @param x a tensor of {@link #inputShape()}
     * @return the output; it is a buffer of this plan and is overwritten by the next run
     */
    public Tensor run(Tensor x) {
        if (!x.shape().equals(inputShape)) {
            throw new IllegalArgumentException("this plan is for input " + inputShape + ", not " + x.shape());
        }
        try {
            if (layout.whole()) {
                layout.begin();
                layout.pass(compute, (input, _, _) -> input.use(x.array(), x.offset()));
                return layout.output.rows(0, 1);
            }
            if (result == null) {
                result = Tensor.zeros(outputShape);
            }
            int[] read = {x.offset()};
            read(rows(row -> read[0] = copy(x.array(), read[0], row)), result);
            return result;
        } catch (IOException e) {
            throw new UncheckedIOException("a tensor is no file", e);
        }
    }

    private static int copy(float[] from, int at, float[] row) {
        System.arraycopy(from, at, row, 0, row.length);
        return at + row.length;
    }

    private static void read(Rows rows, Tensor result) throws IOException {
        float[] row = new float[result.dim(2) * result.dim(3)];
        for (int at = 0; at < result.size(); at += row.length) {
            rows.next(row);
            System.arraycopy(row, 0, result.array(), result.offset() + at, row.length);
        }
    }

    /**
     * Executes the plan row by row: reading a row of the result reads what is needed of {@code source} and computes. The plan serves
     * nothing else until the last row is read, or the result is abandoned.
     *
     * @param source gives the rows of a feature map {@link #inputShape()}, which must be of one image
     */
    public Rows rows(Rows source) {
        if (inputShape.rank() != 4 || inputShape.dim(0) != 1 || outputShape.rank() != 4) {
            throw new IllegalStateException("input " + inputShape + " or output " + outputShape + " has no rows");
        }
        layout.begin();
        return new PlanRows(compute, layout, inputShape, source);
    }
}
