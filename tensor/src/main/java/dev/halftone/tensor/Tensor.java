// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor;

import java.util.Arrays;
import java.util.Objects;

/**
 * A dense, contiguous, row-major fp32 tensor: {@code float[]} + offset + {@link Shape}.
 *
 * <p>Feature maps are channels-last, {@code [N, H, W, C]}; an image is {@code [H, W, C]} with RGB values in 0..255. A tensor is
 * a view: {@link #reshape} and {@link #slice} share the array. Mutating the array is for kernels and optimizers.
 */
public final class Tensor {
    private final float[] array;
    private final int offset;
    private final Shape shape;

    private Tensor(float[] array, int offset, Shape shape) {
        this.array = array;
        this.offset = offset;
        this.shape = shape;
    }

    /** Returns a new tensor of zeros. */
    public static Tensor zeros(int... dims) {
        return zeros(Shape.of(dims));
    }

    /** Returns a new tensor of zeros. */
    public static Tensor zeros(Shape shape) {
        return new Tensor(new float[shape.size()], 0, shape);
    }

    /** Returns a rank-0 tensor. */
    public static Tensor scalar(float value) {
        return new Tensor(new float[] {value}, 0, Shape.of());
    }

    /** Returns a tensor over {@code values} (not copied). */
    public static Tensor of(float[] values, int... dims) {
        return wrap(values, 0, Shape.of(dims));
    }

    /**
     * Returns a tensor over part of an array (not copied).
     *
     * @throws IllegalArgumentException if the array is too short for the shape
     */
    public static Tensor wrap(float[] array, int offset, Shape shape) {
        if (offset < 0 || shape.size() > array.length - offset) {
            throw new IllegalArgumentException("shape " + shape + " at offset " + offset + " needs "
                    + (offset + (long) shape.size()) + " values, the array has " + array.length);
        }
        return new Tensor(array, offset, shape);
    }

    /** Returns the backing array; the elements start at {@link #offset()}. */
    public float[] array() {
        return array;
    }

    /** Returns the index of the first element in {@link #array()}. */
    public int offset() {
        return offset;
    }

    /** Returns the shape. */
    public Shape shape() {
        return shape;
    }

    /** Returns the number of elements. */
    public int size() {
        return shape.size();
    }

    /** Returns dimension {@code axis}; a negative axis counts from the end. */
    public int dim(int axis) {
        return shape.dim(axis);
    }

    /** Returns the element at a full index. */
    public float get(int... index) {
        return array[offset + flatIndex(index)];
    }

    /** Sets the element at a full index. */
    public void set(float value, int... index) {
        array[offset + flatIndex(index)] = value;
    }

    /** Returns the only element of a tensor of size 1. */
    public float item() {
        if (size() != 1) {
            throw new IllegalStateException("item() needs one element, the shape is " + shape);
        }
        return array[offset];
    }

    private int flatIndex(int... index) {
        if (index.length != shape.rank()) {
            throw new IllegalArgumentException("index " + Arrays.toString(index) + " into shape " + shape);
        }
        int flat = 0;
        for (int i = 0; i < index.length; i++) {
            Objects.checkIndex(index[i], shape.dim(i));
            flat = flat * shape.dim(i) + index[i];
        }
        return flat;
    }

    /** Returns a view with another shape of the same size. */
    public Tensor reshape(int... dims) {
        return reshape(Shape.of(dims));
    }

    /** Returns a view with another shape of the same size. */
    public Tensor reshape(Shape other) {
        if (other.size() != shape.size()) {
            throw new IllegalArgumentException("cannot reshape " + shape + " to " + other);
        }
        return new Tensor(array, offset, other);
    }

    /** Returns the view of entry {@code index} along the outermost dimension, with that dimension dropped. */
    public Tensor slice(int index) {
        Objects.checkIndex(index, shape.dim(0));
        Shape inner = Shape.of(Arrays.copyOfRange(shape.dims(), 1, shape.rank()));
        return new Tensor(array, offset + index * inner.size(), inner);
    }

    /** Returns a copy with the dimensions reordered: dimension {@code i} of the result is dimension {@code order[i]} here. */
    public Tensor permute(int... order) {
        int rank = shape.rank();
        int[] strides = new int[rank];
        int stride = 1;
        for (int i = rank - 1; i >= 0; i--) {
            strides[i] = stride;
            stride *= shape.dim(i);
        }
        int[] dims = new int[rank];
        int[] step = new int[rank];
        boolean[] seen = new boolean[rank];
        for (int i = 0; i < rank; i++) {
            if (order.length != rank || order[i] < 0 || order[i] >= rank || seen[order[i]]) {
                throw new IllegalArgumentException("not an order of " + shape + ": " + Arrays.toString(order));
            }
            seen[order[i]] = true;
            dims[i] = shape.dim(order[i]);
            step[i] = strides[order[i]];
        }
        Tensor out = zeros(dims);
        int[] index = new int[rank];
        int from = offset;
        for (int i = 0; i < out.array.length; i++) {
            out.array[i] = array[from];
            for (int d = rank - 1; d >= 0; d--) {
                from += step[d];
                if (++index[d] < dims[d]) {
                    break;
                }
                from -= step[d] * dims[d];
                index[d] = 0;
            }
        }
        return out;
    }

    /** Returns a copy with its own array. */
    public Tensor copy() {
        return new Tensor(Arrays.copyOfRange(array, offset, offset + size()), 0, shape);
    }

    /** Returns the elements as a new array. */
    public float[] toArray() {
        return Arrays.copyOfRange(array, offset, offset + size());
    }

    /** Copies the elements of {@code source}, which must have the same shape, into this tensor. */
    public void copyFrom(Tensor source) {
        if (!source.shape.equals(shape)) {
            throw new IllegalArgumentException("cannot copy " + source.shape + " into " + shape);
        }
        System.arraycopy(source.array, source.offset, array, offset, size());
    }

    /** Sets every element. */
    public Tensor fill(float value) {
        Arrays.fill(array, offset, offset + size(), value);
        return this;
    }

    /** Returns {@code Tensor[...shape...]}, without the values. */
    @Override
    public String toString() {
        return "Tensor" + shape;
    }
}
