// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor.kernels;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.util.Arrays;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The sizes of one matrix product {@code c[m, n] = a[m, k] b[k, n]}. A tensor of higher rank counts as the matrix whose columns
 * are its innermost dimension.
 */
public record MatmulShape(int m, int k, int n) {
    /**
     * Returns the shape of {@code c[m, n] = a[m, k] b[k, n] + bias[n]}.
     *
     * @throws IllegalArgumentException if the shapes do not fit
     * @throws IndexOutOfBoundsException if {@code [fromRow, toRow)} are not rows of {@code c}
     */
    public static MatmulShape of(Tensor a, Tensor b, @Nullable Tensor bias, Tensor c, int fromRow, int toRow) {
        MatmulShape s = new MatmulShape(rows(a), columns(a), columns(b));
        check(s, rows(b) == s.k, a, b, c, fromRow, toRow);
        if (bias != null && bias.size() != s.n) {
            throw new IllegalArgumentException("bias " + bias.shape() + " for a product with " + s.n + " columns");
        }
        return s;
    }

    /**
     * Returns the shape of {@code c[m, n] = a^T b} with {@code a[k, m]} and {@code b[k, n]}.
     *
     * @throws IllegalArgumentException if the shapes do not fit
     * @throws IndexOutOfBoundsException if {@code [fromRow, toRow)} are not rows of {@code c}
     */
    public static MatmulShape ofTransposedA(Tensor a, Tensor b, Tensor c, int fromRow, int toRow) {
        MatmulShape s = new MatmulShape(columns(a), rows(a), columns(b));
        check(s, rows(b) == s.k, a, b, c, fromRow, toRow);
        return s;
    }

    private static void check(MatmulShape s, boolean inner, Tensor a, Tensor b, Tensor c, int fromRow, int toRow) {
        if (!inner || rows(c) != s.m || columns(c) != s.n) {
            throw new IllegalArgumentException(
                    "matrix product of " + a.shape() + " and " + b.shape() + " into " + c.shape());
        }
        Objects.checkFromToIndex(fromRow, toRow, s.m);
    }

    private static int columns(Tensor t) {
        return t.dim(-1);
    }

    private static int rows(Tensor t) {
        return Shape.of(Arrays.copyOf(t.shape().dims(), t.shape().rank() - 1)).size();
    }
}
