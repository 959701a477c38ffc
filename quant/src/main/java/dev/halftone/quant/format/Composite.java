// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.format;

import dev.halftone.tensor.PackedCodes;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.StoredTensor;
import java.util.ArrayList;
import java.util.List;

/**
 * A weight in two to four parts of different formats, each for some groups of consecutive input channels (all taps and all outputs of
 * them). Tensors of a file: {@code _part} (U8, codes of 1 bit for two parts or 2 bits, one for each group, which say the part of the
 * group) and the tensors of part {@code p} under {@code _partp}.
 *
 * @param shape of the weight
 * @param selector the part of each group
 * @param parts weights of the channels that are theirs, in the order of the channels
 */
public record Composite(Shape shape, PackedCodes selector, List<WeightFormat> parts) implements WeightFormat {
    private static final int MOST = 4;

    /** Checks that everything fits. */
    public Composite {
        parts = List.copyOf(parts);
        if (parts.size() < 2 || parts.size() > MOST || selector.bits() != selectorBits(parts.size())) {
            throw new IllegalArgumentException(parts.size() + " parts, told by " + selector);
        }
        List<List<Integer>> channels = channels(shape, selector, parts.size());
        for (int p = 0; p < parts.size(); p++) {
            Shape own = partShape(shape, channels.get(p).size());
            if (!parts.get(p).shape().equals(own)) {
                throw new IllegalArgumentException(
                        "a part " + parts.get(p).shape() + " instead of " + own + " of a weight " + shape);
            }
        }
    }

    /** Makes the format of a part. */
    @FunctionalInterface
    public interface Maker {
        /** Returns the format of the weights of part {@code part}. */
        WeightFormat make(int part, Tensor weight);
    }

    /**
     * Cuts a weight into parts.
     *
     * @param selector of each group; every part must have a group
     */
    public static Composite of(Tensor weight, int[] selector, int parts, Maker maker) {
        byte[] codes = new byte[selector.length];
        for (int g = 0; g < codes.length; g++) {
            codes[g] = (byte) selector[g];
        }
        PackedCodes packed = PackedCodes.pack(codes, selectorBits(parts));
        List<List<Integer>> channels = channels(weight.shape(), packed, parts);
        List<WeightFormat> made = new ArrayList<>();
        for (int p = 0; p < parts; p++) {
            made.add(maker.make(p, select(weight, channels.get(p))));
        }
        return new Composite(weight.shape(), packed, made);
    }

    private static int selectorBits(int parts) {
        return parts == 2 ? 1 : 2;
    }

    private static Shape partShape(Shape whole, int channels) {
        return whole.with(-2, channels);
    }

    /** Returns the channels of each part, each of which must have some. */
    private static List<List<Integer>> channels(Shape shape, PackedCodes selector, int parts) {
        ChannelGroups groups = new ChannelGroups(shape.dim(-2), selector.size());
        List<List<Integer>> channels = new ArrayList<>();
        for (int p = 0; p < parts; p++) {
            channels.add(new ArrayList<>());
        }
        for (int c = 0; c < groups.in(); c++) {
            int part = selector.get(groups.ofRow(c));
            if (part >= parts) {
                throw new IllegalArgumentException("a channel of part " + part + " of " + parts);
            }
            channels.get(part).add(c);
        }
        if (channels.stream().anyMatch(List::isEmpty)) {
            throw new IllegalArgumentException("a part without channels");
        }
        return channels;
    }

    private static Tensor select(Tensor weight, List<Integer> channels) {
        int in = weight.dim(-2);
        int out = weight.dim(-1);
        Tensor part = Tensor.zeros(partShape(weight.shape(), channels.size()));
        for (int r = 0; r < part.size() / out; r++) {
            int row = r / channels.size() * in + channels.get(r % channels.size());
            System.arraycopy(weight.array(), weight.offset() + row * out, part.array(), r * out, out);
        }
        return part;
    }

    /** Returns the bits of a code, the mean over all weights, rounded. */
    @Override
    public int bits() {
        double bits = 0;
        for (WeightFormat part : parts) {
            bits += (double) part.bits() * part.shape().size() / shape.size();
        }
        return (int) Math.rint(bits);
    }

    @Override
    public String tag() {
        return "parts/" + selector.size() + "("
                + String.join("+", parts.stream().map(WeightFormat::tag).toList()) + ")";
    }

    @Override
    public Tensor dequantize() {
        int in = shape.dim(-2);
        int out = shape.dim(-1);
        Tensor weight = Tensor.zeros(shape);
        List<List<Integer>> channels = channels(shape, selector, parts.size());
        for (int p = 0; p < parts.size(); p++) {
            Tensor part = parts.get(p).dequantize();
            List<Integer> own = channels.get(p);
            for (int r = 0; r < part.size() / out; r++) {
                int row = r / own.size() * in + own.get(r % own.size());
                System.arraycopy(part.array(), part.offset() + r * out, weight.array(), row * out, out);
            }
        }
        return weight;
    }

    @Override
    public List<StoredTensor> tensors(String name) {
        List<StoredTensor> tensors = new ArrayList<>();
        byte[] bytes = selector.toByteArray();
        tensors.add(StoredTensor.bytes(name + "_part", new int[] {bytes.length}, bytes));
        for (int p = 0; p < parts.size(); p++) {
            tensors.addAll(parts.get(p).tensors(name + "_part" + p));
        }
        return tensors;
    }

    /** Reads what {@link #tensors} gave. */
    static Composite read(StoredParts stored, Shape shape, int groups, List<String> tags) {
        PackedCodes selector = stored.codes("_part", selectorBits(tags.size()), groups);
        List<List<Integer>> channels = channels(shape, selector, tags.size());
        List<WeightFormat> parts = new ArrayList<>();
        for (int p = 0; p < tags.size(); p++) {
            Shape own = partShape(shape, channels.get(p).size());
            parts.add(WeightFormatReader.simple(tags.get(p), stored.of("_part" + p), own));
        }
        return new Composite(shape, selector, parts);
    }
}
