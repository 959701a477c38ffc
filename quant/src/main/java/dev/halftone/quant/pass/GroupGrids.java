// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.pass;

import dev.halftone.quant.format.ChannelGroups;
import dev.halftone.quant.format.Codebook;
import dev.halftone.quant.format.Composite;
import dev.halftone.quant.format.Halves;
import dev.halftone.quant.format.WeightFormat;
import dev.halftone.quant.matrix.Matrix;
import dev.halftone.tensor.Tensor;
import java.util.Arrays;
import java.util.TreeSet;
import java.util.stream.IntStream;

/**
 * A uniform grid for every group of inputs of every output, where groups have bits of their own: the level of code {@code q} is
 * {@code step q + low}, in half precision. Rows are those of the weight as a matrix, columns its outputs.
 */
final class GroupGrids {
    /** Levels from the lowest to the highest. */
    record Range(double low, double high) {
        Range times(double factor) {
            return new Range(factor * low, factor * high);
        }
    }

    private final ChannelGroups groups;
    private final int[] bits;
    private final float[][] low;
    private final float[][] step;

    /** Creates grids that are still to be {@link #set}. */
    GroupGrids(ChannelGroups groups, int[] bits, int out) {
        this.groups = groups;
        this.bits = bits.clone();
        low = new float[bits.length][out];
        step = new float[bits.length][out];
    }

    /**
     * Returns grids for the groups of a stored weight, still to be {@link #set}.
     *
     * @throws IllegalArgumentException if it has no groups with codes of some bits each
     */
    static GroupGrids of(WeightFormat stored) {
        int out = stored.shape().dim(-1);
        if (stored instanceof Codebook codebook) {
            int[] bits = new int[codebook.scale().dim(0)];
            Arrays.fill(bits, codebook.bits());
            return new GroupGrids(new ChannelGroups(stored.shape().dim(-2), bits.length), bits, out);
        }
        if (stored instanceof Composite composite && composite.parts().stream().allMatch(Codebook.class::isInstance)) {
            int[] bits = IntStream.range(0, composite.selector().size())
                    .map(g -> composite.parts().get(composite.selector().get(g)).bits())
                    .toArray();
            return new GroupGrids(new ChannelGroups(stored.shape().dim(-2), bits.length), bits, out);
        }
        throw new IllegalArgumentException("a weight stored as " + stored.tag() + " has no grids of groups");
    }

    ChannelGroups groups() {
        return groups;
    }

    int bits(int group) {
        return bits[group];
    }

    /** Sets the grid of a group of an output. */
    void set(int group, int output, Range range) {
        low[group][output] = Halves.nearest(range.low());
        step[group][output] = Halves.nearest((range.high() - range.low()) / ((1 << bits[group]) - 1));
    }

    /** Returns how far a value is above the lowest level, in steps; not rounded and not clipped. */
    double position(int row, int output, double value) {
        int group = groups.ofRow(row);
        float s = step[group][output];
        return s == 0 ? 0 : (value - low[group][output]) / s;
    }

    /** Returns the nearest level. */
    double nearest(int row, int output, double value) {
        int group = groups.ofRow(row);
        double code = Math.rint(position(row, output, value));
        return step[group][output] * (float) Math.clamp(code, 0, (1 << bits[group]) - 1) + low[group][output];
    }

    /**
     * Returns the range of a group's weights; of 1 bit, where the whole range would be far too wide, their mean plus and minus the mean
     * magnitude around it.
     */
    Range range(int group, int output, Matrix w) {
        double least = Double.POSITIVE_INFINITY;
        double most = Double.NEGATIVE_INFINITY;
        double sum = 0;
        int n = 0;
        for (int j = 0; j < w.rows(); j++) {
            if (groups.ofRow(j) == group) {
                least = Math.min(least, w.get(j, output));
                most = Math.max(most, w.get(j, output));
                sum += w.get(j, output);
                n++;
            }
        }
        if (bits[group] > 1) {
            return new Range(least, most);
        }
        double size = 0;
        for (int j = 0; j < w.rows(); j++) {
            if (groups.ofRow(j) == group) {
                size += Math.abs(w.get(j, output) - sum / n) / n;
            }
        }
        return new Range(sum / n - size, sum / n + size);
    }

    /** Returns the stored form of a weight whose values are levels of these grids. */
    WeightFormat stored(Tensor rounded) {
        TreeSet<Integer> widths = new TreeSet<>();
        for (int b : bits) {
            widths.add(b);
        }
        Integer[] ofPart = widths.toArray(Integer[]::new);
        int[] selector = new int[bits.length];
        for (int g = 0; g < selector.length; g++) {
            selector[g] = Arrays.asList(ofPart).indexOf(bits[g]);
        }
        return ofPart.length == 1
                ? codebook(rounded, ofPart[0])
                : Composite.of(rounded, selector, ofPart.length, (p, own) -> codebook(own, ofPart[p]));
    }

    /** Returns the groups that have so many bits. */
    private Codebook codebook(Tensor rounded, int width) {
        int[] own =
                IntStream.range(0, bits.length).filter(g -> bits[g] == width).toArray();
        int out = rounded.dim(-1);
        Tensor steps = Tensor.zeros(own.length, out);
        Tensor lows = Tensor.zeros(own.length, out);
        for (int i = 0; i < own.length; i++) {
            for (int o = 0; o < out; o++) {
                steps.set(step[own[i]][o], i, o);
                lows.set(low[own[i]][o], i, o);
            }
        }
        return Codebook.nearest(rounded, Codebook.uniformLevels(width), steps, lows);
    }
}
