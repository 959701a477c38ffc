// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.format;

import dev.halftone.tensor.DType;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.StoredTensor;
import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.List;

/**
 * A few weights in half precision instead of what another format has in their places. Tensors of a file: {@code _outlier} (F16, the
 * values in the order of the weight), {@code _gap} (U8: how many weights there are between an outlier and the one before; a byte of 255
 * stands for 255 weights without any), and those of the other format.
 *
 * @param base the format of all other weights
 * @param places where the outliers are in the weight, rising
 * @param values as many
 */
public record Outliers(WeightFormat base, List<Integer> places, Tensor values) implements WeightFormat {
    private static final int NONE = 255;

    /** Rounds the values to what is stored, and checks that everything fits. */
    public Outliers {
        places = List.copyOf(places);
        values = Halves.of("outlier", values, Shape.of(places.size()));
        int last = -1;
        for (int place : places) {
            if (place <= last || place >= base.shape().size()) {
                throw new IllegalArgumentException("an outlier at " + place + " after one at " + last);
            }
            last = place;
        }
        if (base instanceof Outliers) {
            throw new IllegalArgumentException("outliers of outliers");
        }
    }

    @Override
    public Shape shape() {
        return base.shape();
    }

    @Override
    public int bits() {
        return base.bits();
    }

    @Override
    public String tag() {
        return "outliers(" + base.tag() + ")";
    }

    @Override
    public Tensor dequantize() {
        Tensor weight = base.dequantize();
        for (int i = 0; i < places.size(); i++) {
            weight.array()[places.get(i)] = values.get(i);
        }
        return weight;
    }

    @Override
    public List<StoredTensor> tensors(String name) {
        ByteArrayOutputStream gaps = new ByteArrayOutputStream();
        int next = 0;
        for (int place : places) {
            int gap = place - next;
            for (; gap >= NONE; gap -= NONE) {
                gaps.write(NONE);
            }
            gaps.write(gap);
            next = place + 1;
        }
        byte[] bytes = gaps.toByteArray();
        List<StoredTensor> tensors = new ArrayList<>(base.tensors(name));
        tensors.add(StoredTensor.halves(name + "_outlier", values));
        tensors.add(StoredTensor.bytes(name + "_gap", new int[] {bytes.length}, bytes));
        return tensors;
    }

    /** Reads what {@link #tensors} gave. */
    static Outliers read(StoredParts parts, WeightFormat base) {
        StoredTensor values = parts.vector("_outlier", DType.F16);
        List<Integer> places = new ArrayList<>();
        int next = 0;
        for (byte b : parts.vector("_gap", DType.U8).toBytes()) {
            int gap = b & 0xff;
            next += gap;
            if (gap < NONE) {
                places.add(next++);
            }
            if (next > base.shape().size()) {
                throw new IllegalArgumentException("_gap leads behind the last weight");
            }
        }
        return new Outliers(base, places, values.toTensor());
    }
}
