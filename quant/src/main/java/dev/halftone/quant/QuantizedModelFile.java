// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import dev.halftone.nn.Child;
import dev.halftone.nn.Conv2d;
import dev.halftone.nn.Module;
import dev.halftone.nn.Parameter;
import dev.halftone.nn.Site;
import dev.halftone.nn.StateDict;
import dev.halftone.tensor.DType;
import dev.halftone.tensor.PackedCodes;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.io.InvalidFileException;
import dev.halftone.tensor.io.Safetensors;
import dev.halftone.tensor.io.StoredTensor;
import dev.halftone.tensor.io.WeightFile;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * The file of a quantized network: an ordinary safetensors file. A packed layer {@code L} has {@code L.weight_codes} (U8, the bytes
 * of {@link PackedCodes}), {@code L.weight_lower} and {@code L.weight_upper} ({@code [1]} or one per output channel),
 * {@code L.activation_lower} and {@code L.activation_upper} ({@code [1]}) and {@code L.bias}; all other tensors are fp32 under their
 * usual names. Metadata {@code quantized_layers} lists {@code L:weight bits:activation bits}, separated by commas.
 */
public final class QuantizedModelFile {
    private static final String FORMAT_KEY = "halftone_format";
    private static final String FORMAT = "1";
    private static final String LAYERS_KEY = "quantized_layers";

    private QuantizedModelFile() {}

    /** Returns whether a weight file is a quantized network. */
    public static boolean recognises(WeightFile file) {
        return file.metadata().containsKey(FORMAT_KEY);
    }

    /**
     * Writes a network with packed layers, atomically.
     *
     * @param metadata the architecture and whatever else should be kept: recipe, options, seed, source
     */
    public static void write(Path file, Module network, Map<String, String> metadata) throws IOException {
        List<StoredTensor> tensors = new ArrayList<>(StateDict.save(network));
        List<String> layers = new ArrayList<>();
        network.descendants().forEach((name, slot) -> {
            if (slot.module() instanceof QuantizedConv2d q) {
                layers.add(name + ":" + q.codes().bits() + ":" + q.activation().bits());
                byte[] codes = q.codes().toByteArray();
                tensors.add(StoredTensor.bytes(name + ".weight_codes", new int[] {codes.length}, codes));
                tensors.add(StoredTensor.of(name + ".weight_lower", q.weight().lower()));
                tensors.add(StoredTensor.of(name + ".weight_upper", q.weight().upper()));
                tensors.add(StoredTensor.of(
                        name + ".activation_lower",
                        Tensor.of(new float[] {q.activation().lower()}, 1)));
                tensors.add(StoredTensor.of(
                        name + ".activation_upper",
                        Tensor.of(new float[] {q.activation().upper()}, 1)));
                Tensor bias = q.bias();
                if (bias != null) {
                    tensors.add(StoredTensor.of(name + ".bias", bias));
                }
            }
        });
        Map<String, String> m = new LinkedHashMap<>();
        m.put(FORMAT_KEY, FORMAT);
        m.putAll(metadata);
        m.put(LAYERS_KEY, String.join(",", layers));
        Safetensors.write(file, m, tensors);
    }

    /**
     * Loads a file into an fp32 network of the same architecture: packed layers take the place of those that the file lists. Loading
     * is strict and all or nothing.
     *
     * @throws InvalidFileException if the file is of another version or architecture, or anything is missing, unexpected or wrong;
     *     the message lists all of it, sorted
     */
    public static void load(WeightFile file, Module network) throws InvalidFileException {
        String version = file.metadata().get(FORMAT_KEY);
        if (!FORMAT.equals(version)) {
            throw new InvalidFileException(
                    file.path(), "is of quantized-model format " + version + "; this version reads format " + FORMAT);
        }
        Map<String, Child> slots = new LinkedHashMap<>();
        for (Site site : network.sites()) {
            slots.put(site.name(), site.slot());
        }
        Map<String, StoredTensor> rest = new LinkedHashMap<>(file.tensors());
        Map<String, Parameter> unpacked = new LinkedHashMap<>(network.parameters());
        TreeSet<String> problems = new TreeSet<>();
        Map<Child, QuantizedConv2d> layers = new LinkedHashMap<>();
        String list = file.metadata().getOrDefault(LAYERS_KEY, "");
        for (String entry : list.isEmpty() ? new String[0] : list.split(",", -1)) {
            String[] parts = entry.split(":", -1);
            Child slot = slots.get(parts[0]);
            if (parts.length != 3
                    || !parts[1].matches("[1-8]")
                    || !parts[2].matches("[1-8]")
                    || slot == null
                    || !(slot.module() instanceof Conv2d conv)) {
                problems.add("the entry '" + entry + "' of " + LAYERS_KEY + " names no layer of this network");
                continue;
            }
            conv.parameters().keySet().forEach(p -> unpacked.remove(parts[0] + "." + p));
            QuantizedConv2d layer =
                    layer(parts[0], conv, Integer.parseInt(parts[1]), Integer.parseInt(parts[2]), rest, problems);
            if (layer != null) {
                layers.put(slot, layer);
            }
        }
        problems.addAll(StateDict.problems(unpacked, rest));
        if (!problems.isEmpty()) {
            throw new InvalidFileException(file.path(), "does not fit the network: " + String.join(", ", problems));
        }
        layers.forEach(Child::replace);
        StateDict.load(network, rest, file.path());
    }

    private static @Nullable QuantizedConv2d layer(
            String name,
            Conv2d conv,
            int weightBits,
            int activationBits,
            Map<String, StoredTensor> tensors,
            Set<String> problems) {
        Tensor w = conv.weight().value();
        int out = w.dim(3);
        int before = problems.size();
        StoredTensor codes =
                take(name + ".weight_codes", DType.U8, tensors, problems, PackedCodes.byteLength(w.size(), weightBits));
        StoredTensor lower = take(name + ".weight_lower", DType.F32, tensors, problems, 1, out);
        StoredTensor upper = take(name + ".weight_upper", DType.F32, tensors, problems, 1, out);
        StoredTensor from = take(name + ".activation_lower", DType.F32, tensors, problems, 1);
        StoredTensor to = take(name + ".activation_upper", DType.F32, tensors, problems, 1);
        StoredTensor bias = conv.bias() == null ? null : take(name + ".bias", DType.F32, tensors, problems, out);
        if (problems.size() > before || codes == null || lower == null || upper == null || from == null || to == null) {
            return null;
        }
        try {
            QuantizedConv2d.requireSupported(conv);
            return new QuantizedConv2d(
                    w.dim(0),
                    w.dim(2),
                    out,
                    PackedCodes.of(codes.data().toArray(ValueLayout.JAVA_BYTE), weightBits, w.size()),
                    UniformQuantizer.of(weightBits, lower.toTensor(), upper.toTensor()),
                    new UniformGrid(
                            activationBits,
                            from.toTensor().item(),
                            to.toTensor().item()),
                    bias == null ? null : bias.toTensor());
        } catch (IllegalArgumentException e) {
            problems.add(name + " has " + e.getMessage());
            return null;
        }
    }

    /** Takes a tensor of rank 1 with one of these sizes out of the map, or notes the problem. */
    private static @Nullable StoredTensor take(
            String name, DType dtype, Map<String, StoredTensor> tensors, Set<String> problems, int... sizes) {
        StoredTensor t = tensors.remove(name);
        if (t == null) {
            problems.add(name + " is missing");
        } else if (t.dtype() != dtype
                || Arrays.stream(sizes).noneMatch(size -> t.shape().equals(Shape.of(size)))) {
            problems.add(name + " is " + t.dtype() + t.shape() + " instead of " + dtype + "[" + sizes[0] + "]");
        }
        return t;
    }
}
