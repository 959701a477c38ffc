// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.matrix;

import java.util.Comparator;
import java.util.stream.IntStream;

/**
 * The singular value decomposition {@code A = U diag(s) V^T} by one-sided Jacobi rotations (Hestenes 1958; the rotation as in Demmel,
 * Applied Numerical Linear Algebra, algorithm 5.13): accurate for small singular values too, and quick for the matrices of a layer.
 *
 * @param u {@code m x r} with orthonormal columns, {@code r = min(m, n)}; a column whose singular value is 0 is zero
 * @param singularValues {@code r} of them, descending
 * @param v {@code n x r} with orthonormal columns
 */
public record Svd(Matrix u, double[] singularValues, Matrix v) {
    private static final int MAX_SWEEPS = 60;

    /** Columns of {@code m} elements count as orthogonal when the cosine between them is below this times the root of {@code m}. */
    private static final double COSINE = 4 * Math.ulp(1.0);

    /** Decomposes a matrix, which is left as it is. */
    public static Svd of(Matrix a) {
        if (a.rows() < a.columns()) {
            Svd t = of(a.transposed());
            return new Svd(t.v, t.singularValues, t.u);
        }
        return tall(a, Matrix.identity(a.columns()));
    }

    /**
     * Decomposes a matrix that is not wide, beginning with the right singular vectors of a similar one: the closer it is, the fewer
     * rotations.
     *
     * @param start square with orthonormal columns
     */
    public static Svd of(Matrix a, Matrix start) {
        return tall(a, start);
    }

    private static Svd tall(Matrix a, Matrix start) {
        int n = a.columns();
        // Columns as rows, which are contiguous.
        double[][] columns = rows(a.times(start).transposed());
        double[][] vectors = rows(start.transposed());
        boolean rotated = true;
        for (int sweep = 0; rotated && sweep < MAX_SWEEPS; sweep++) {
            rotated = false;
            for (int p = 0; p < n - 1; p++) {
                for (int q = p + 1; q < n; q++) {
                    rotated |= orthogonalize(columns[p], columns[q], vectors[p], vectors[q]);
                }
            }
        }
        double[] norms = new double[n];
        for (int j = 0; j < n; j++) {
            norms[j] = Math.sqrt(dot(columns[j], columns[j]));
        }
        int[] order = IntStream.range(0, n)
                .boxed()
                .sorted(Comparator.comparingDouble(j -> -norms[j]))
                .mapToInt(Integer::intValue)
                .toArray();
        Matrix u = Matrix.zeros(a.rows(), n);
        Matrix v = Matrix.zeros(n, n);
        double[] sorted = new double[n];
        for (int j = 0; j < n; j++) {
            int from = order[j];
            sorted[j] = norms[from];
            for (int i = 0; norms[from] > 0 && i < a.rows(); i++) {
                u.set(i, j, columns[from][i] / norms[from]);
            }
            for (int i = 0; i < n; i++) {
                v.set(i, j, vectors[from][i]);
            }
        }
        return new Svd(u, sorted, v);
    }

    /** Rotates two columns so that they are orthogonal, and the vectors with them; returns whether that was needed. */
    private static boolean orthogonalize(double[] a, double[] b, double[] v, double[] w) {
        double aa = dot(a, a);
        double bb = dot(b, b);
        double ab = dot(a, b);
        if (Math.abs(ab) <= COSINE * Math.sqrt(a.length) * Math.sqrt(aa) * Math.sqrt(bb)) {
            return false;
        }
        double zeta = (bb - aa) / (2 * ab);
        double t = Math.copySign(1, zeta) / (Math.abs(zeta) + Math.hypot(1, zeta));
        double cosine = 1 / Math.hypot(1, t);
        double sine = cosine * t;
        rotate(a, b, cosine, sine);
        rotate(v, w, cosine, sine);
        return true;
    }

    private static void rotate(double[] a, double[] b, double cosine, double sine) {
        for (int i = 0; i < a.length; i++) {
            double x = a[i];
            double y = b[i];
            a[i] = cosine * x - sine * y;
            b[i] = sine * x + cosine * y;
        }
    }

    private static double dot(double[] a, double[] b) {
        // Four sums, which do not wait for each other.
        double s0 = 0;
        double s1 = 0;
        double s2 = 0;
        double s3 = 0;
        int i = 0;
        for (; i + 3 < a.length; i += 4) {
            s0 += a[i] * b[i];
            s1 += a[i + 1] * b[i + 1];
            s2 += a[i + 2] * b[i + 2];
            s3 += a[i + 3] * b[i + 3];
        }
        for (; i < a.length; i++) {
            s0 += a[i] * b[i];
        }
        return s0 + s1 + (s2 + s3);
    }

    private static double[][] rows(Matrix m) {
        double[][] rows = new double[m.rows()][m.columns()];
        for (int i = 0; i < rows.length; i++) {
            for (int j = 0; j < rows[i].length; j++) {
                rows[i][j] = m.get(i, j);
            }
        }
        return rows;
    }

    /** Returns the 2-norm condition number, the largest singular value over the least; infinite if that is 0. */
    public double condition() {
        return singularValues[0] / singularValues[singularValues.length - 1];
    }

    /** Returns {@code U diag(s) V^T} for other singular values. */
    public Matrix with(double[] values) {
        Matrix scaled = u.copy();
        for (int i = 0; i < scaled.rows(); i++) {
            for (int j = 0; j < scaled.columns(); j++) {
                scaled.set(i, j, u.get(i, j) * values[j]);
            }
        }
        return scaled.times(v.transposed());
    }
}
