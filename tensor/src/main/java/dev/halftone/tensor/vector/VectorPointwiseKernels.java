// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.vector;

import dev.halftone.tensor.LevelTable;
import dev.halftone.tensor.Levels;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.CodeSteps;
import dev.halftone.tensor.kernels.PointwiseKernels;
import dev.halftone.tensor.kernels.ScalarKernels;
import java.util.Objects;
import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/**
 * Elementwise operations and reductions, a vector at a time. C2 vectorizes the scalar loops only where all offsets are 0 or equal;
 * tensors that are slices of others have offsets.
 */
final class VectorPointwiseKernels implements PointwiseKernels {
    private static final VectorSpecies<Float> FLOATS = Panels.SPECIES;
    private static final VectorSpecies<Double> DOUBLES = VectorSpecies.of(double.class, FLOATS.vectorShape());
    private static final int LANES = DOUBLES.length();
    /** As many floats as there are doubles in a vector. */
    private static final VectorSpecies<Float> HALF =
            VectorSpecies.of(float.class, VectorShape.forBitSize(DOUBLES.vectorBitSize() / 2));

    /** Computes what is left when no whole vector is. */
    private static final PointwiseKernels SCALAR = new ScalarKernels().pointwise();

    /** What is summed. */
    private enum Term {
        VALUE,
        ABSOLUTE_ERROR,
        SQUARED_ERROR
    }

    // A loop for each operation: with the choice inside, C2 leaves it there once a program has used them all, and what
    // is fast in a benchmark of one takes 15 % of a training step.

    @Override
    public void add(Tensor a, Tensor b, Tensor y, int from, int to) {
        PointwiseKernels.checkRange(from, to, a, b, y);
        int i = from;
        for (; i + FLOATS.length() <= to; i += FLOATS.length()) {
            FloatVector u = FloatVector.fromArray(FLOATS, a.array(), a.offset() + i);
            FloatVector v = FloatVector.fromArray(FLOATS, b.array(), b.offset() + i);
            u.add(v).intoArray(y.array(), y.offset() + i);
        }
        SCALAR.add(a, b, y, i, to);
    }

    @Override
    public void addScaled(Tensor a, float scale, Tensor b, Tensor y, int from, int to) {
        PointwiseKernels.checkRange(from, to, a, b, y);
        FloatVector factor = FloatVector.broadcast(FLOATS, scale);
        int i = from;
        for (; i + FLOATS.length() <= to; i += FLOATS.length()) {
            FloatVector u = FloatVector.fromArray(FLOATS, a.array(), a.offset() + i);
            FloatVector v = FloatVector.fromArray(FLOATS, b.array(), b.offset() + i);
            v.fma(factor, u).intoArray(y.array(), y.offset() + i);
        }
        SCALAR.addScaled(a, scale, b, y, i, to);
    }

    @Override
    public void multiply(Tensor a, Tensor b, Tensor y, int from, int to) {
        PointwiseKernels.checkRange(from, to, a, b, y);
        int i = from;
        for (; i + FLOATS.length() <= to; i += FLOATS.length()) {
            FloatVector u = FloatVector.fromArray(FLOATS, a.array(), a.offset() + i);
            FloatVector v = FloatVector.fromArray(FLOATS, b.array(), b.offset() + i);
            u.mul(v).intoArray(y.array(), y.offset() + i);
        }
        SCALAR.multiply(a, b, y, i, to);
    }

    @Override
    public void scale(Tensor a, float scale, Tensor y, int from, int to) {
        PointwiseKernels.checkRange(from, to, a, y);
        FloatVector factor = FloatVector.broadcast(FLOATS, scale);
        int i = from;
        for (; i + FLOATS.length() <= to; i += FLOATS.length()) {
            FloatVector u = FloatVector.fromArray(FLOATS, a.array(), a.offset() + i);
            u.mul(factor).intoArray(y.array(), y.offset() + i);
        }
        SCALAR.scale(a, scale, y, i, to);
    }

    @Override
    public void leakyRelu(Tensor a, float slope, Tensor y, int from, int to) {
        PointwiseKernels.checkRange(from, to, a, y);
        FloatVector zero = FloatVector.zero(FLOATS);
        FloatVector factor = FloatVector.broadcast(FLOATS, slope);
        int i = from;
        if (slope == 0) {
            // max(a, 0) to the bit: 0 for -0, and NaN stays.
            for (; i + FLOATS.length() <= to; i += FLOATS.length()) {
                FloatVector v = FloatVector.fromArray(FLOATS, a.array(), a.offset() + i);
                v.blend(zero, v.compare(VectorOperators.LE, zero)).intoArray(y.array(), y.offset() + i);
            }
        } else {
            for (; i + FLOATS.length() <= to; i += FLOATS.length()) {
                FloatVector v = FloatVector.fromArray(FLOATS, a.array(), a.offset() + i);
                v.mul(factor).blend(v, v.compare(VectorOperators.GT, zero)).intoArray(y.array(), y.offset() + i);
            }
        }
        SCALAR.leakyRelu(a, slope, y, i, to);
    }

    @Override
    public void leakyReluGradient(Tensor a, float slope, Tensor dy, Tensor dx, int from, int to) {
        PointwiseKernels.checkRange(from, to, a, dy, dx);
        FloatVector zero = FloatVector.zero(FLOATS);
        FloatVector factor = FloatVector.broadcast(FLOATS, slope);
        int i = from;
        if (slope == 0) {
            for (; i + FLOATS.length() <= to; i += FLOATS.length()) {
                FloatVector v = FloatVector.fromArray(FLOATS, a.array(), a.offset() + i);
                FloatVector d = FloatVector.fromArray(FLOATS, dy.array(), dy.offset() + i);
                zero.blend(d, v.compare(VectorOperators.GT, zero)).intoArray(dx.array(), dx.offset() + i);
            }
        } else {
            for (; i + FLOATS.length() <= to; i += FLOATS.length()) {
                FloatVector v = FloatVector.fromArray(FLOATS, a.array(), a.offset() + i);
                FloatVector d = FloatVector.fromArray(FLOATS, dy.array(), dy.offset() + i);
                d.mul(factor).blend(d, v.compare(VectorOperators.GT, zero)).intoArray(dx.array(), dx.offset() + i);
            }
        }
        SCALAR.leakyReluGradient(a, slope, dy, dx, i, to);
    }

    @Override
    public double sum(Tensor a, int from, int to) {
        return reduce(Term.VALUE, a, a, from, to);
    }

    @Override
    public double absoluteError(Tensor a, Tensor b, int from, int to) {
        return reduce(Term.ABSOLUTE_ERROR, a, b, from, to);
    }

    @Override
    public double squaredError(Tensor a, Tensor b, int from, int to) {
        return reduce(Term.SQUARED_ERROR, a, b, from, to);
    }

    private static double reduce(Term term, Tensor a, Tensor b, int from, int to) {
        PointwiseKernels.checkRange(from, to, a, b);
        double sum = 0;
        double[] partial = new double[SUM_LANES];
        for (int start = from; start < to; start = PointwiseKernels.blockEnd(start, to)) {
            int end = PointwiseKernels.blockEnd(start, to);
            int whole = (end - start) / SUM_LANES * SUM_LANES;
            // A block is in L1: several passes, one for each vector of partial sums, cost nothing to speak of.
            for (int lane = 0; lane < SUM_LANES; lane += LANES) {
                DoubleVector sums = switch (term) {
                    case VALUE -> sums(a, start + lane, start + whole);
                    case ABSOLUTE_ERROR -> absoluteErrors(a, b, start + lane, start + whole);
                    case SQUARED_ERROR -> squaredErrors(a, b, start + lane, start + whole);
                };
                sums.intoArray(partial, lane);
            }
            for (int i = start + whole; i < end; i++) {
                double u = a.array()[a.offset() + i];
                double d = u - b.array()[b.offset() + i];
                partial[i - start - whole] += switch (term) {
                    case VALUE -> u;
                    case ABSOLUTE_ERROR -> Math.abs(d);
                    case SQUARED_ERROR -> d * d;
                };
            }
            sum += total(partial);
        }
        return sum;
    }

    // One loop for each term: with the choice inside, C2 leaves it there once it has seen them all, five times slower.

    private static DoubleVector sums(Tensor a, int from, int to) {
        DoubleVector sums = DoubleVector.zero(DOUBLES);
        for (int i = from; i < to; i += SUM_LANES) {
            sums = sums.add(widened(a, i));
        }
        return sums;
    }

    private static DoubleVector absoluteErrors(Tensor a, Tensor b, int from, int to) {
        DoubleVector sums = DoubleVector.zero(DOUBLES);
        for (int i = from; i < to; i += SUM_LANES) {
            sums = sums.add(widened(a, i).sub(widened(b, i)).abs());
        }
        return sums;
    }

    private static DoubleVector squaredErrors(Tensor a, Tensor b, int from, int to) {
        DoubleVector sums = DoubleVector.zero(DOUBLES);
        for (int i = from; i < to; i += SUM_LANES) {
            DoubleVector d = widened(a, i).sub(widened(b, i));
            sums = sums.add(d.mul(d));
        }
        return sums;
    }

    private static DoubleVector widened(Tensor x, int at) {
        return widened(FloatVector.fromArray(HALF, x.array(), x.offset() + at));
    }

    private static DoubleVector widened(FloatVector v) {
        return (DoubleVector) v.convertShape(VectorOperators.F2D, DOUBLES, 0);
    }

    @Override
    public void fakeQuantize(Tensor x, Levels levels, Tensor y, int from, int to) {
        PointwiseKernels.checkRange(from, to, x, y);
        switch (levels) {
            case UniformGrid grid ->
                FakeQuantization.levels(grid, x.array(), x.offset() + from, y.array(), y.offset() + from, to - from);
            case LevelTable table ->
                FakeQuantization.levels(
                        CodeSteps.of(table), x.array(), x.offset() + from, y.array(), y.offset() + from, to - from);
        }
    }

    @Override
    public FakeQuantizeSums fakeQuantizeGradient(Tensor x, UniformGrid grid, Tensor dy, Tensor dx, int from, int to) {
        PointwiseKernels.checkRange(from, to, x, dy, dx);
        return FakeQuantization.gradient(
                grid, x.array(), x.offset(), dy.array(), dy.offset(), dx.array(), dx.offset(), from, to);
    }

    private static double total(double[] partial) {
        double total = 0;
        for (double p : partial) {
            total += p;
        }
        return total;
    }

    @Override
    public float min(Tensor a, int from, int to) {
        PointwiseKernels.checkNotEmpty(from, to, a);
        FloatVector min = FloatVector.broadcast(FLOATS, Float.POSITIVE_INFINITY);
        int i = from;
        for (; i + FLOATS.length() <= to; i += FLOATS.length()) {
            min = min.min(FloatVector.fromArray(FLOATS, a.array(), a.offset() + i));
        }
        float smallest = min.reduceLanes(VectorOperators.MIN);
        for (; i < to; i++) {
            smallest = Math.min(smallest, a.array()[a.offset() + i]);
        }
        return smallest;
    }

    @Override
    public float max(Tensor a, int from, int to) {
        PointwiseKernels.checkNotEmpty(from, to, a);
        FloatVector max = FloatVector.broadcast(FLOATS, Float.NEGATIVE_INFINITY);
        int i = from;
        for (; i + FLOATS.length() <= to; i += FLOATS.length()) {
            max = max.max(FloatVector.fromArray(FLOATS, a.array(), a.offset() + i));
        }
        float largest = max.reduceLanes(VectorOperators.MAX);
        for (; i < to; i++) {
            largest = Math.max(largest, a.array()[a.offset() + i]);
        }
        return largest;
    }

    @Override
    public void columnSums(Tensor a, Tensor sums, int from, int to) {
        int columns = PointwiseKernels.checkColumns(a, sums);
        Objects.checkFromToIndex(from, to, columns);
        double[] total = new double[to - from];
        for (int row = 0; row < a.size(); row += columns) {
            int at = a.offset() + row + from;
            int c = 0;
            for (; c + LANES <= total.length; c += LANES) {
                DoubleVector.fromArray(DOUBLES, total, c)
                        .add(widened(a, row + from + c))
                        .intoArray(total, c);
            }
            for (; c < total.length; c++) {
                total[c] += a.array()[at + c];
            }
        }
        for (int c = from; c < to; c++) {
            sums.array()[sums.offset() + c] = (float) total[c - from];
        }
    }

    @Override
    public void addRow(Tensor a, Tensor row, Tensor y, int fromRow, int toRow) {
        int columns = PointwiseKernels.checkColumns(a, row);
        PointwiseKernels.checkRange(fromRow * columns, toRow * columns, a, y);
        for (int r = fromRow; r < toRow; r++) {
            int at = r * columns;
            int c = 0;
            for (; c + FLOATS.length() <= columns; c += FLOATS.length()) {
                FloatVector.fromArray(FLOATS, a.array(), a.offset() + at + c)
                        .add(FloatVector.fromArray(FLOATS, row.array(), row.offset() + c))
                        .intoArray(y.array(), y.offset() + at + c);
            }
            for (; c < columns; c++) {
                y.array()[y.offset() + at + c] = a.array()[a.offset() + at + c] + row.array()[row.offset() + c];
            }
        }
    }
}
