// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.matrix;

/** The Cholesky decomposition {@code A = L L^T} of symmetric positive definite matrices, L lower triangular. */
public final class Cholesky {
    private Cholesky() {}

    /**
     * Returns L, of which only the lower half of {@code a} is read.
     *
     * @throws IllegalArgumentException if the matrix is not positive definite
     */
    public static Matrix of(Matrix a) {
        int n = a.rows();
        Matrix l = Matrix.zeros(n, n);
        for (int i = 0; i < n; i++) {
            for (int j = 0; j <= i; j++) {
                double sum = a.get(i, j);
                for (int k = 0; k < j; k++) {
                    sum -= l.get(i, k) * l.get(j, k);
                }
                if (i != j) {
                    l.set(i, j, sum / l.get(j, j));
                } else if (sum > 0) {
                    l.set(i, i, Math.sqrt(sum));
                } else {
                    throw new IllegalArgumentException(a + " is not positive definite");
                }
            }
        }
        return l;
    }

    /** Returns the inverse of {@code L L^T}. */
    public static Matrix inverse(Matrix l) {
        int n = l.rows();
        Matrix inverse = Matrix.zeros(n, n);
        for (int column = 0; column < n; column++) {
            // Column by column of the inverse of L; what is above its diagonal is 0.
            for (int i = column; i < n; i++) {
                double sum = i == column ? 1 : 0;
                for (int k = column; k < i; k++) {
                    sum -= l.get(i, k) * inverse.get(column, k);
                }
                inverse.set(column, i, sum / l.get(i, i));
            }
        }
        return inverse.times(inverse.transposed());
    }
}
