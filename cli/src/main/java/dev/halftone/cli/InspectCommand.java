// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.Zoo;
import dev.halftone.models.image.ImageFiles;
import dev.halftone.models.image.ImageFormat;
import dev.halftone.quant.WeightWidths;
import dev.halftone.quant.format.NestedWeight;
import dev.halftone.tensor.io.InvalidFileException;
import dev.halftone.tensor.io.StoredTensor;
import dev.halftone.tensor.io.WeightFile;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/** Reads a weight file, all of it, and says what is in it. */
@Command(name = "inspect", description = "Read and check a .safetensors, .pth or .pt file and list its tensors.")
final class InspectCommand implements Callable<Integer> {
    private final Console console;

    @Parameters(paramLabel = "FILE", description = "The weight file.")
    private Path file = Path.of("");

    InspectCommand(Console console) {
        this.console = console;
    }

    @Override
    public Integer call() throws IOException {
        WeightFile weights = read();
        List<TensorSummary> tensors = new ArrayList<>();
        long bytes = 0;
        for (StoredTensor tensor : weights.tensors().values()) {
            tensors.add(TensorSummary.of(tensor));
            bytes += tensor.data().byteSize();
        }
        Network network = Network.of(weights);
        if (console.json()) {
            console.print(Json.ofCommand("inspect")
                    .put("file", file.toString())
                    .put("format", weights.format())
                    .put("sha256", weights.sha256())
                    .put("bytes", bytes)
                    .put("network", network.known() ? network.description() : null)
                    .put("weightBits", widths(weights))
                    .put("metadata", weights.metadata())
                    .put("sections", weights.sections())
                    .put(
                            "tensors",
                            tensors.stream().map(t -> t.json().entries()).toList()));
        } else {
            console.print("%s: %s, %d tensors, %d bytes", file, weights.format(), tensors.size(), bytes);
            console.print("sha256: %s", weights.sha256());
            console.print("network: %s", network);
            WeightWidths.of(weights)
                    .ifPresent(bits -> console.print(
                            "weights: of any width from 1 to %d bits, %d unless --weight-bits says otherwise",
                            NestedWeight.WIDTHS, bits));
            if (!weights.sections().isEmpty()) {
                console.print("sections: %s", printable(String.join(", ", weights.sections())));
            }
            weights.metadata()
                    .forEach((key, value) -> console.print("metadata: %s = %s", printable(key), printable(value)));
            print(tensors);
        }
        return ExitCode.OK;
    }

    /** Returns the widths that the file can be opened at, and the one that it is otherwise; null where it has none to choose from. */
    private static @Nullable Map<String, Object> widths(WeightFile weights) {
        OptionalInt bits = WeightWidths.of(weights);
        return bits.isEmpty()
                ? null
                : new Json()
                        .put("default", bits.getAsInt())
                        .put("least", 1)
                        .put("most", NestedWeight.WIDTHS)
                        .entries();
    }

    private WeightFile read() throws InvalidFileException {
        try {
            return WeightFile.read(file);
        } catch (InvalidFileException e) {
            // Only now: a safetensors file may begin like a bitmap.
            ImageFormat image = ImageFiles.format(file).orElseThrow(() -> e);
            throw new InvalidFileException(
                    file, "is a " + image + " image; inspect reads weights: .safetensors, .pth and .pt files", e);
        }
    }

    private void print(List<TensorSummary> tensors) {
        List<String> names =
                tensors.stream().map(t -> printable(t.tensor().name())).toList();
        int width = names.stream().mapToInt(String::length).max().orElse(0);
        String row = "%-" + Math.max(4, width) + "s  %-5s  %-18s  %11s  %11s  %11s  %5s";
        console.print(row, "name", "dtype", "shape", "min", "max", "mean", "NaN");
        for (int i = 0; i < tensors.size(); i++) {
            TensorSummary t = tensors.get(i);
            console.print(
                    row,
                    names.get(i),
                    t.tensor().dtype(),
                    t.tensor().shape(),
                    number(t.min()),
                    number(t.max()),
                    number(t.mean()),
                    t.nans());
        }
    }

    private static String number(double value) {
        return Double.isNaN(value) ? "-" : String.format(Locale.ROOT, "%.5g", value);
    }

    /** Takes out what a file's strings could do to a terminal. */
    private static String printable(String text) {
        return text.replaceAll("\\p{C}", "?");
    }

    /** The network that a file is, or why it is none. */
    private record Network(boolean known, Map<String, String> description, String reason) {
        static Network of(WeightFile weights) throws IOException {
            try {
                return new Network(true, Zoo.build(weights).metadata(), "");
            } catch (InvalidFileException e) {
                return new Network(false, Map.of(), Failure.of(e).sentence());
            }
        }

        @Override
        public String toString() {
            return known
                    ? description.entrySet().stream()
                            .map(e -> e.getKey() + " " + e.getValue())
                            .collect(Collectors.joining(", "))
                    : "none (" + reason + ")";
        }
    }
}
