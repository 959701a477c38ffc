// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.quant.WeightWidths;
import dev.halftone.quant.format.NestedWeight;
import dev.halftone.tensor.io.InvalidFileException;
import dev.halftone.tensor.io.WeightFile;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The width at which a file with weights of any width is opened. */
final class WidthOption {
    @Option(
            names = "--weight-bits",
            paramLabel = "B",
            description = {
                "Open a file of the recipe one-model-style at 1 to 8 bits for each weight",
                "(default: those that it was quantized to)."
            })
    private @Nullable Integer bits;

    /** Refuses what no file has. */
    void check() {
        if (bits != null && (bits < 1 || bits > NestedWeight.WIDTHS)) {
            throw new UsageException("--weight-bits must be 1 to " + NestedWeight.WIDTHS + ", not " + bits);
        }
    }

    /**
     * Returns a file as one that is opened at the chosen width; the file itself where none was chosen.
     *
     * @throws InvalidFileException if its weights have one width each, and a width was chosen
     */
    WeightFile apply(WeightFile file) throws InvalidFileException {
        return bits == null ? file : WeightWidths.choose(file, bits);
    }

    /** Adds the choice, if there is one, to what results depend on. */
    void addTo(Map<String, String> settings) {
        if (bits != null) {
            settings.put("weightBits", bits.toString());
        }
    }
}
