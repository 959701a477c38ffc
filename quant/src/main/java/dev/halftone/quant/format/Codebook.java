// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.format;

import dev.halftone.tensor.PackedCodes;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.StoredTensor;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Codes into one table of levels for the whole weight, which every group of inputs of every output scales and moves:
 * {@code w = scale level[code] + offset}. With the levels 0, 1, 2, ... it is a grid for each group, with others any grid that is not
 * uniform. Tensors of a file: {@code _codes} (U8), {@code _levels} (F16, {@code [2^bits]}), {@code _scale} and, unless it is 0, {@code
 * _offset} (F16, {@code [groups, out]}).
 *
 * @param shape of the weight
 * @param codes in the order of the weight
 * @param levels {@code [2^bits]}
 * @param scale {@code [groups, out]}
 * @param offset the same shape, or null for 0
 */
public record Codebook(
        Shape shape,
        PackedCodes codes,
        Tensor levels,
        Tensor scale,
        @Nullable Tensor offset) implements WeightFormat {
    /** Rounds levels, scales and offsets to what is stored, and checks that everything fits. */
    public Codebook {
        if (codes.size() != shape.size()) {
            throw new IllegalArgumentException(codes + " for a weight " + shape);
        }
        int groups = new ChannelGroups(shape.dim(-2), scale.dim(0)).count();
        levels = Halves.of("level", levels, Shape.of(1 << codes.bits()));
        scale = Halves.of("scale", scale, Shape.of(groups, shape.dim(-1)));
        offset = offset == null ? null : Halves.of("offset", offset, scale.shape());
    }

    /** Returns a weight on the min-max grids of {@code ranges}, a weight of the same shape. */
    public static Codebook minMax(Tensor weight, Tensor ranges, int bits, ChannelGroups groups) {
        int out = weight.dim(-1);
        Tensor low = Tensor.zeros(groups.count(), out).fill(Float.POSITIVE_INFINITY);
        Tensor high = Tensor.zeros(groups.count(), out).fill(Float.NEGATIVE_INFINITY);
        for (int i = 0; i < ranges.size(); i++) {
            int at = groups.ofRow(i / out) * out + i % out;
            float v = ranges.array()[ranges.offset() + i];
            low.array()[at] = Math.min(low.array()[at], v);
            high.array()[at] = Math.max(high.array()[at], v);
        }
        Tensor scale = Tensor.zeros(groups.count(), out);
        for (int i = 0; i < scale.size(); i++) {
            scale.array()[i] = (high.array()[i] - low.array()[i]) / ((1 << bits) - 1);
        }
        return nearest(weight, uniformLevels(bits), scale, low);
    }

    /** Returns the weight with every value replaced by the nearest level of its group. */
    public static Codebook nearest(Tensor weight, Tensor levels, Tensor scale, @Nullable Tensor offset) {
        int bits = Integer.numberOfTrailingZeros(levels.size());
        Shape shape = weight.shape();
        Codebook zeros = new Codebook(shape, PackedCodes.pack(new byte[shape.size()], bits), levels, scale, offset);
        ChannelGroups groups = zeros.groups();
        byte[] codes = new byte[shape.size()];
        for (int i = 0; i < codes.length; i++) {
            float v = weight.array()[weight.offset() + i];
            float least = Float.POSITIVE_INFINITY;
            for (int code = 0; code < 1 << bits; code++) {
                float error = Math.abs(zeros.level(groups, i, code) - v);
                if (error < least) {
                    least = error;
                    codes[i] = (byte) code;
                }
            }
        }
        return new Codebook(shape, PackedCodes.pack(codes, bits), levels, scale, offset);
    }

    /** Returns the table 0, 1, 2, ... */
    public static Tensor uniformLevels(int bits) {
        Tensor levels = Tensor.zeros(1 << bits);
        for (int i = 0; i < levels.size(); i++) {
            levels.set(i, i);
        }
        return levels;
    }

    @Override
    public int bits() {
        return codes.bits();
    }

    @Override
    public String tag() {
        return "codebook" + bits() + "/" + groups().count();
    }

    private ChannelGroups groups() {
        return new ChannelGroups(shape.dim(-2), scale.dim(0));
    }

    /** Returns what a code stands for at a place of the weight. */
    public float level(int index, int code) {
        return level(groups(), index, code);
    }

    private float level(ChannelGroups groups, int index, int code) {
        int out = shape.dim(-1);
        int at = groups.ofRow(index / out) * out + index % out;
        float moved = offset == null ? 0 : offset.array()[at];
        return scale.array()[at] * levels.array()[code] + moved;
    }

    @Override
    public Tensor dequantize() {
        ChannelGroups groups = groups();
        Tensor weight = Tensor.zeros(shape);
        for (int i = 0; i < weight.size(); i++) {
            weight.array()[i] = level(groups, i, codes.get(i));
        }
        return weight;
    }

    @Override
    public List<StoredTensor> tensors(String name) {
        List<StoredTensor> tensors = new ArrayList<>();
        byte[] bytes = codes.toByteArray();
        tensors.add(StoredTensor.bytes(name + "_codes", new int[] {bytes.length}, bytes));
        tensors.add(StoredTensor.halves(name + "_levels", levels));
        tensors.add(StoredTensor.halves(name + "_scale", scale));
        if (offset != null) {
            tensors.add(StoredTensor.halves(name + "_offset", offset));
        }
        return tensors;
    }

    /** Reads what {@link #tensors} gave. */
    static Codebook read(StoredParts parts, Shape shape, int bits, int groups) {
        Shape scales = Shape.of(new ChannelGroups(shape.dim(-2), groups).count(), shape.dim(-1));
        return new Codebook(
                shape,
                parts.codes("_codes", bits, shape.size()),
                parts.halves("_levels", Shape.of(1 << bits)),
                parts.halves("_scale", scales),
                parts.has("_offset") ? parts.halves("_offset", scales) : null);
    }
}
