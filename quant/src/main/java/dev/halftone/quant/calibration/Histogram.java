// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.calibration;

import dev.halftone.tensor.Levels;
import dev.halftone.tensor.Tensor;

/**
 * A streaming histogram with per-bin count, sum and sum of squares, for activations that are too many to keep.
 *
 * <p>Bins are as wide as a power of two and start at its multiples. When a value falls outside, bins are merged by twos until
 * all fits again: the width is always the smallest power of two with which the range takes no more than the capacity, so at least
 * half of the capacity is in use and the counts do not depend on the order in which values came.
 *
 * <p>Not thread-safe.
 */
public final class Histogram implements Distribution {
    private static final int DEFAULT_CAPACITY = 8192;
    /** Bins are at least 2^-40 of the largest magnitude wide, well below the spacing of floats: indices stay small. */
    private static final int FINEST = 40;

    private final String name;
    private final int capacity;

    private long count;
    private float min;
    private float max;
    /** Bin {@code i} covers {@code [(base + i) 2^exponent, (base + i + 1) 2^exponent)}. */
    private int exponent = Integer.MIN_VALUE;

    private long base;
    private long[] counts = {};
    private double[] sums = {};
    private double[] squares = {};

    /**
     * Creates an empty histogram of at most 8192 bins.
     *
     * @param name what the values belong to; errors name it
     */
    public Histogram(String name) {
        this(name, DEFAULT_CAPACITY);
    }

    /**
     * Creates an empty histogram.
     *
     * @param name what the values belong to; errors name it
     * @param capacity the most bins it may have, at least 2
     */
    public Histogram(String name, int capacity) {
        if (capacity < 2) {
            throw new IllegalArgumentException("a histogram needs at least 2 bins, not " + capacity);
        }
        this.name = name;
        this.capacity = capacity;
    }

    /**
     * Adds all elements of a tensor.
     *
     * @throws IllegalArgumentException naming the tensor, if a value is NaN or infinite; nothing is added then
     */
    public void add(Tensor tensor) {
        if (tensor.size() == 0) {
            return;
        }
        float[] array = tensor.array();
        int end = tensor.offset() + tensor.size();
        float low = count == 0 ? array[tensor.offset()] : min;
        float high = count == 0 ? low : max;
        for (int i = tensor.offset(); i < end; i++) {
            requireFinite(name, array[i]);
            low = Math.min(low, array[i]);
            high = Math.max(high, array[i]);
        }
        cover(low, high);
        double binsPerUnit = Math.scalb(1.0, -exponent);
        for (int i = tensor.offset(); i < end; i++) {
            double v = array[i];
            int bin = (int) ((long) Math.floor(v * binsPerUnit) - base);
            counts[bin]++;
            sums[bin] += v;
            squares[bin] += v * v;
        }
        count += tensor.size();
    }

    static void requireFinite(String name, float v) {
        if (!Float.isFinite(v)) {
            throw new IllegalArgumentException(name + " has a value that is not finite (" + v + ")");
        }
    }

    static void requireValues(Distribution d) {
        if (d.count() == 0) {
            throw new IllegalStateException(d.name() + " has no values to calibrate on");
        }
    }

    /** Makes room for the range, merging bins if it must. */
    private void cover(float low, float high) {
        min = low;
        max = high;
        int finest = Math.getExponent(Math.max(Math.abs(low), Math.abs(high))) - FINEST;
        int e = Math.max(exponent, finest);
        while (index(high, e) - index(low, e) >= capacity) {
            e++;
        }
        if (e != exponent || index(low, e) < base || index(high, e) >= base + counts.length) {
            rebin(e, index(low, e));
        }
    }

    private static long index(float v, int exponent) {
        return (long) Math.floor(Math.scalb((double) v, -exponent));
    }

    private void rebin(int newExponent, long newBase) {
        long[] newCounts = new long[capacity];
        double[] newSums = new double[capacity];
        double[] newSquares = new double[capacity];
        int shift = exponent == Integer.MIN_VALUE ? 0 : Math.min(newExponent - exponent, 63);
        for (int i = 0; i < counts.length; i++) {
            if (counts[i] != 0) {
                int bin = (int) (((base + i) >> shift) - newBase);
                newCounts[bin] += counts[i];
                newSums[bin] += sums[i];
                newSquares[bin] += squares[i];
            }
        }
        exponent = newExponent;
        base = newBase;
        counts = newCounts;
        sums = newSums;
        squares = newSquares;
    }

    /** Returns this histogram with bins merged by twos until its range takes no more than {@code bins} of them. */
    public Histogram coarsened(int bins) {
        Histogram coarse = new Histogram(name, bins);
        if (count == 0) {
            return coarse;
        }
        coarse.exponent = exponent;
        coarse.base = base;
        coarse.counts = counts;
        coarse.sums = sums;
        coarse.squares = squares;
        coarse.count = count;
        int e = exponent;
        while (index(max, e) - index(min, e) >= bins) {
            e++;
        }
        coarse.min = min;
        coarse.max = max;
        coarse.rebin(e, index(min, e));
        return coarse;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public long count() {
        return count;
    }

    /** Returns the sum of the squares of all values. */
    public double sumOfSquares() {
        double sum = 0;
        for (double s : squares) {
            sum += s;
        }
        return sum;
    }

    @Override
    public float min() {
        requireValues(this);
        return min;
    }

    @Override
    public float max() {
        requireValues(this);
        return max;
    }

    /** Returns the number of bins, many of which may be empty. */
    public int bins() {
        return counts.length;
    }

    /** Returns the width of every bin, a power of two. */
    public double binWidth() {
        requireValues(this);
        return Math.scalb(1.0, exponent);
    }

    /** Returns where a bin begins; it ends where the next one begins. */
    public double start(int bin) {
        requireValues(this);
        return Math.scalb((double) (base + bin), exponent);
    }

    /** Returns the number of values in a bin. */
    public long count(int bin) {
        return counts[bin];
    }

    /** Returns the mean of the values in a bin, NaN if it is empty. */
    public float mean(int bin) {
        return (float) (sums[bin] / counts[bin]);
    }

    /** {@inheritDoc} Values are taken to lie evenly within a bin, so the result is within one {@link #binWidth()}. */
    @Override
    public float quantile(double p) {
        requireValues(this);
        double rank = p * (count - 1);
        long before = 0;
        int bin = 0;
        while (before + counts[bin] <= rank) {
            before += counts[bin++];
        }
        double v = Math.scalb(base + bin + (rank - before + 0.5) / counts[bin], exponent);
        return Math.clamp((float) v, min, max);
    }

    /**
     * {@inheritDoc}
     *
     * <p>A bin is charged as if all its values had the code of its mean, which is exact unless the bin lies across the boundary
     * between two codes. So the result is never below the exact one (but for rounding), and above it by at most
     * {@code 2 scale binWidth} for each value in one of those {@code 2^bits - 1} bins: with the default capacity typically less
     * than 1e-5 of the error at 2 to 4 bits, and of the order of 1 % at 8.
     */
    @Override
    public double squaredError(Levels levels) {
        double sum = 0;
        for (int i = 0; i < counts.length; i++) {
            if (counts[i] != 0) {
                double level = levels.level(levels.code(mean(i)));
                sum += squares[i] - 2 * level * sums[i] + counts[i] * level * level;
            }
        }
        return Math.max(sum, 0);
    }

    @Override
    public Histogram histogram() {
        return this;
    }
}
