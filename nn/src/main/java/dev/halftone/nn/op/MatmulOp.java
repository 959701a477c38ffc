// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.MatmulKernels;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Products of matrices: operands {@code a [..., M, K]} and {@code b [..., K, N]}, output {@code [..., M, N]}. The leading
 * dimensions are broadcast as in NumPy: aligned at the end, and a missing or 1 repeats.
 *
 * @param transposeB whether {@code b} is {@code [..., N, K]} instead, as the keys of attention are
 */
public record MatmulOp(boolean transposeB) implements Op {
    /** For every product, which matrix of {@code a} and which of {@code b} it takes. */
    private record Pairs(int[] a, int[] b) {}

    @FunctionalInterface
    private interface Product {
        void run(Tensor left, Tensor right, Tensor result, int fromRow, int toRow);
    }

    @Override
    public Shape outputShape(Shape... inputs) {
        Shape a = inputs[0];
        Shape b = inputs[1];
        if (a.rank() < 2 || b.rank() < 2 || a.dim(-1) != b.dim(transposeB ? -1 : -2)) {
            throw mismatch(a, b);
        }
        int rank = Math.max(a.rank(), b.rank());
        int[] dims = new int[rank];
        for (int i = 3; i <= rank; i++) {
            int da = i > a.rank() ? 1 : a.dim(-i);
            int db = i > b.rank() ? 1 : b.dim(-i);
            if (da != db && da != 1 && db != 1) {
                throw mismatch(a, b);
            }
            dims[rank - i] = da == 1 ? db : da;
        }
        dims[rank - 2] = a.dim(-2);
        dims[rank - 1] = b.dim(transposeB ? -2 : -1);
        return Shape.of(dims);
    }

    private IllegalArgumentException mismatch(Shape a, Shape b) {
        return new IllegalArgumentException(
                "matmul: " + a + " (M, K) does not fit " + b + (transposeB ? " (N, K)" : " (K, N)"));
    }

    @Override
    public void forward(Compute compute, Tensor[] inputs, Tensor output) {
        MatmulKernels kernels = KernelProvider.kernels().matmul();
        Pairs pairs = pairs(inputs[0].shape(), inputs[1].shape(), output.shape());
        Tensor b = transposeB ? transposed(inputs[1]) : inputs[1];
        products(
                compute,
                inputs[0],
                pairs.a,
                b,
                pairs.b,
                output,
                (l, r, c, from, to) -> kernels.matmul(l, r, null, c, from, to));
    }

    @Override
    public @Nullable Tensor[] backward(
            Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted) {
        MatmulKernels kernels = KernelProvider.kernels().matmul();
        Tensor a = inputs[0];
        Tensor b = inputs[1];
        Pairs pairs = pairs(a.shape(), b.shape(), output.shape());
        int[] each = new int[pairs.a.length];
        Arrays.setAll(each, i -> i);
        Tensor da = null;
        if (wanted[0]) {
            // da = dy b^T
            Tensor parts = Tensor.zeros(output.shape().with(-1, a.dim(-1)));
            Tensor right = transposeB ? b : transposed(b);
            products(
                    compute,
                    gradient,
                    each,
                    right,
                    pairs.b,
                    parts,
                    (l, r, c, from, to) -> kernels.matmul(l, r, null, c, from, to));
            da = sumOfParts(parts, pairs.a, a.shape());
        }
        Tensor db = null;
        if (wanted[1]) {
            // db = a^T dy; for a transposed b the transpose of that, dy^T a.
            Tensor parts = Tensor.zeros(output.shape().with(-2, b.dim(-2)).with(-1, b.dim(-1)));
            products(
                    compute,
                    transposeB ? gradient : a,
                    transposeB ? each : pairs.a,
                    transposeB ? a : gradient,
                    transposeB ? pairs.a : each,
                    parts,
                    kernels::matmulTransposedA);
            db = sumOfParts(parts, pairs.b, b.shape());
        }
        return new @Nullable Tensor[] {da, db};
    }

    /** Computes every matrix of {@code c}, split over all rows of all of them. */
    private static void products(Compute compute, Tensor a, int[] aOf, Tensor b, int[] bOf, Tensor c, Product product) {
        int rows = c.dim(-2);
        compute.forEachRange(aOf.length * rows, (from, to) -> {
            for (int row = from; row < to; ) {
                int i = row / rows;
                int end = Math.min(to, (i + 1) * rows);
                product.run(matrix(a, aOf[i]), matrix(b, bOf[i]), matrix(c, i), row - i * rows, end - i * rows);
                row = end;
            }
        });
    }

    private static Tensor matrix(Tensor t, int index) {
        Shape shape = Shape.of(t.dim(-2), t.dim(-1));
        return Tensor.wrap(t.array(), t.offset() + index * shape.size(), shape);
    }

    /** Adds the matrices that belong to the same matrix of a broadcast operand, in order. */
    private static Tensor sumOfParts(Tensor parts, int[] of, Shape shape) {
        if (parts.size() == shape.size()) {
            return parts.reshape(shape);
        }
        Tensor sum = Tensor.zeros(shape);
        int size = shape.dim(-2) * shape.dim(-1);
        for (int i = 0; i < of.length; i++) {
            int to = of[i] * size;
            for (int j = 0; j < size; j++) {
                sum.array()[to + j] += parts.array()[i * size + j];
            }
        }
        return sum;
    }

    private static Pairs pairs(Shape a, Shape b, Shape out) {
        int count = 1;
        for (int i = 0; i < out.rank() - 2; i++) {
            count *= out.dim(i);
        }
        int[] aOf = new int[count];
        int[] bOf = new int[count];
        for (int i = 0; i < count; i++) {
            aOf[i] = broadcastIndex(i, out, a);
            bOf[i] = broadcastIndex(i, out, b);
        }
        return new Pairs(aOf, bOf);
    }

    /** Returns which matrix of {@code operand} the matrix {@code index} of {@code out} is made of. */
    private static int broadcastIndex(int index, Shape out, Shape operand) {
        int result = 0;
        int stride = 1;
        int rest = index;
        for (int i = 3; i <= operand.rank(); i++) {
            int position = rest % out.dim(-i);
            rest /= out.dim(-i);
            if (operand.dim(-i) > 1) {
                result += position * stride;
                stride *= operand.dim(-i);
            }
        }
        return result;
    }

    private static Tensor transposed(Tensor t) {
        int rank = t.shape().rank();
        int[] order = new int[rank];
        Arrays.setAll(order, i -> i);
        order[rank - 2] = rank - 1;
        order[rank - 1] = rank - 2;
        return t.permute(order);
    }
}
