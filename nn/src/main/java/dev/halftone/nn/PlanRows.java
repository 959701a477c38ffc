// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.io.IOException;

/** The result of a plan, computed as it is read: band by band, or all of it at the first row. */
final class PlanRows implements Plan.Rows {
    private final Compute compute;
    private final Layout layout;
    private final Plan.Rows source;
    private final Shape inputShape;
    private final float[] row;
    /** The rows that the last pass has computed, of which {@code given} values are out. */
    private Tensor ready = Tensor.zeros(0);

    private int given;

    PlanRows(Compute compute, Layout layout, Shape inputShape, Plan.Rows source) {
        this.compute = compute;
        this.layout = layout;
        this.source = source;
        this.inputShape = inputShape;
        this.row = new float[inputShape.dim(2) * inputShape.dim(3)];
    }

    @Override
    public void next(float[] to) throws IOException {
        while (given == ready.size()) {
            if (layout.output.done == layout.output.height) {
                throw new IllegalStateException("there are no more rows");
            }
            layout.pass(compute, this::fill);
            ready = layout.output.rows(layout.output.from, layout.output.done);
            given = 0;
        }
        System.arraycopy(ready.array(), ready.offset() + given, to, 0, to.length);
        given += to.length;
    }

    private void fill(Place.Values input, int from, int to) throws IOException {
        if (layout.whole()) {
            float[] map = new float[inputShape.size()];
            fill(map, 0, inputShape.dim(1));
            input.use(map, 0);
        } else {
            Tensor rows = input.rows(from, to);
            fill(rows.array(), rows.offset(), to - from);
        }
    }

    private void fill(float[] to, int at, int rows) throws IOException {
        for (int y = 0; y < rows; y++) {
            source.next(row);
            System.arraycopy(row, 0, to, at + y * row.length, row.length);
        }
    }
}
