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
 * A sum of planes of signs: {@code w = offset + sum_p (+-1) scale_p}, where each output has scales and an offset of its own, or each
 * group of its inputs. With column scales it is {@code w_jo = offset_o + sum_p (+-1) scale_po column_pj}, {@code j} an input (a tap of a
 * channel). There can be two sets of planes' scales, and each weight says by one more bit of its code which is its own.
 *
 * <p>Bit {@code p} of a code is 1 where plane {@code p} is +1; the bit above the planes is the set. Scales of set 1 follow those of set 0.
 * Tensors of a file: {@code _codes} (U8), {@code _scale} (F16, {@code [sets planes, groups, out]}), and where there are any
 * {@code _column} (F16, {@code [sets planes, inputs]}) and {@code _offset} (F16, {@code [sets, groups, out]}).
 *
 * @param shape of the weight
 * @param planes 1 to 8
 * @param codes in the order of the weight, of {@code planes} bits, or one more where there are two sets
 * @param scale {@code [sets planes, groups, out]}
 * @param column {@code [sets planes, inputs]}, or null for 1
 * @param offset {@code [sets, groups, out]}, or null for 0
 */
public record BinaryCoding(
        Shape shape,
        int planes,
        PackedCodes codes,
        Tensor scale,
        @Nullable Tensor column,
        @Nullable Tensor offset) implements WeightFormat {
    /** Rounds scales and offsets to what is stored, and checks that everything fits. */
    public BinaryCoding {
        int sets = codes.bits() == planes ? 1 : 2;
        if (planes < 1 || codes.bits() - planes > 1 || codes.bits() < planes || codes.size() != shape.size()) {
            throw new IllegalArgumentException(codes + " for " + planes + " planes of a weight " + shape);
        }
        int out = shape.dim(-1);
        int groups = new ChannelGroups(shape.dim(-2), scale.dim(1)).count();
        scale = Halves.of("scale", scale, Shape.of(sets * planes, groups, out));
        column = column == null ? null : Halves.of("column", column, Shape.of(sets * planes, shape.size() / out));
        offset = offset == null ? null : Halves.of("offset", offset, Shape.of(sets, groups, out));
    }

    @Override
    public int bits() {
        return planes;
    }

    private int sets() {
        return codes.bits() == planes ? 1 : 2;
    }

    @Override
    public String tag() {
        return "binary" + planes + (sets() == 2 ? "x2" : "") + "/" + scale.dim(1);
    }

    /** Returns what a code at a place of the weight stands for. */
    private float level(ChannelGroups groups, int index, int code) {
        int out = shape.dim(-1);
        int row = index / out;
        int at = groups.ofRow(row) * out + index % out;
        int perPlane = groups.count() * out;
        int set = code >>> planes;
        float value = offset == null ? 0 : offset.array()[set * perPlane + at];
        for (int p = 0; p < planes; p++) {
            int plane = set * planes + p;
            float size = scale.array()[plane * perPlane + at];
            if (column != null) {
                size *= column.array()[plane * (shape.size() / out) + row];
            }
            value += (code >>> p & 1) == 1 ? size : -size;
        }
        return value;
    }

    @Override
    public Tensor dequantize() {
        ChannelGroups groups = new ChannelGroups(shape.dim(-2), scale.dim(1));
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
        tensors.add(StoredTensor.halves(name + "_scale", scale));
        if (column != null) {
            tensors.add(StoredTensor.halves(name + "_column", column));
        }
        if (offset != null) {
            tensors.add(StoredTensor.halves(name + "_offset", offset));
        }
        return tensors;
    }

    /** Reads what {@link #tensors} gave. */
    static BinaryCoding read(StoredParts parts, Shape shape, int planes, int sets, int groups) {
        int out = shape.dim(-1);
        int count = new ChannelGroups(shape.dim(-2), groups).count();
        int all = sets * planes;
        return new BinaryCoding(
                shape,
                planes,
                parts.codes("_codes", planes + sets - 1, shape.size()),
                parts.halves("_scale", Shape.of(all, count, out)),
                parts.has("_column") ? parts.halves("_column", Shape.of(all, shape.size() / out)) : null,
                parts.has("_offset") ? parts.halves("_offset", Shape.of(sets, count, out)) : null);
    }
}
