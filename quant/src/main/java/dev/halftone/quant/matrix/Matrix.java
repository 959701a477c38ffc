// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.matrix;

import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;

/** A dense matrix of doubles, row after row, that can be changed. */
public final class Matrix {
    private final int rows;
    private final int columns;
    private final double[] values;

    private Matrix(int rows, int columns, double[] values) {
        this.rows = rows;
        this.columns = columns;
        this.values = values;
    }

    /** Returns a matrix of zeros. */
    public static Matrix zeros(int rows, int columns) {
        return new Matrix(rows, columns, new double[Math.multiplyExact(rows, columns)]);
    }

    /** Returns the matrix with ones on its diagonal. */
    public static Matrix identity(int n) {
        Matrix m = zeros(n, n);
        for (int i = 0; i < n; i++) {
            m.values[i * n + i] = 1;
        }
        return m;
    }

    /** Returns the matrix of these values, row after row, which are copied. */
    public static Matrix of(int rows, int columns, double... values) {
        if (values.length != rows * columns) {
            throw new IllegalArgumentException(values.length + " values for " + rows + " x " + columns);
        }
        return new Matrix(rows, columns, values.clone());
    }

    /** Returns a weight {@code [..., in, out]} as a matrix of one column for each output: a convolution's rows are taps of channels. */
    public static Matrix of(Tensor weight) {
        int out = weight.dim(-1);
        Matrix m = zeros(weight.size() / out, out);
        for (int i = 0; i < m.values.length; i++) {
            m.values[i] = weight.array()[weight.offset() + i];
        }
        return m;
    }

    /** Writes the values, rounded, into a tensor of as many elements. */
    public void copyTo(Tensor weight) {
        if (weight.size() != values.length) {
            throw new IllegalArgumentException(rows + " x " + columns + " values into " + weight.shape());
        }
        for (int i = 0; i < values.length; i++) {
            weight.array()[weight.offset() + i] = (float) values[i];
        }
    }

    /** Returns the values, rounded, as a tensor {@code [rows, columns]}. */
    public Tensor toTensor() {
        Tensor t = Tensor.zeros(Shape.of(rows, columns));
        copyTo(t);
        return t;
    }

    /** Returns the number of rows. */
    public int rows() {
        return rows;
    }

    /** Returns the number of columns. */
    public int columns() {
        return columns;
    }

    /** Returns an element. */
    public double get(int row, int column) {
        return values[row * columns + column];
    }

    /** Changes an element. */
    public void set(int row, int column, double value) {
        values[row * columns + column] = value;
    }

    /** Returns a copy. */
    public Matrix copy() {
        return new Matrix(rows, columns, values.clone());
    }

    /** Returns the transpose. */
    public Matrix transposed() {
        Matrix t = zeros(columns, rows);
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                t.values[j * rows + i] = values[i * columns + j];
            }
        }
        return t;
    }

    /** Returns {@code this + factor * other}. */
    public Matrix plus(double factor, Matrix other) {
        if (rows != other.rows || columns != other.columns) {
            throw new IllegalArgumentException(this + " and " + other + " differ in shape");
        }
        Matrix sum = copy();
        for (int i = 0; i < values.length; i++) {
            sum.values[i] += factor * other.values[i];
        }
        return sum;
    }

    /** Returns the product {@code this other}. */
    public Matrix times(Matrix other) {
        if (columns != other.rows) {
            throw new IllegalArgumentException(this + " times " + other);
        }
        Matrix product = zeros(rows, other.columns);
        for (int i = 0; i < rows; i++) {
            int to = i * other.columns;
            for (int k = 0; k < columns; k++) {
                double v = values[i * columns + k];
                int from = k * other.columns;
                for (int j = 0; j < other.columns; j++) {
                    product.values[to + j] += v * other.values[from + j];
                }
            }
        }
        return product;
    }

    /** Returns the sum of the products of corresponding elements, {@code tr(this^T other)}. */
    public double dot(Matrix other) {
        double sum = 0;
        for (int i = 0; i < values.length; i++) {
            sum += values[i] * other.values[i];
        }
        return sum;
    }

    @Override
    public String toString() {
        return "a matrix of " + rows + " x " + columns;
    }
}
