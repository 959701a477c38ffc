// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import dev.halftone.models.SuperResolutionNetwork;
import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.QuantizedModelFile;
import dev.halftone.quant.Recipe;
import dev.halftone.quant.calibration.MinMax;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.quant.pass.AllocateBits;
import dev.halftone.quant.pass.AllocateBits.Method;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.tensor.UniformGrid;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/** Bits of its own for every layer, within a budget. */
final class AllocationOptions {
    /** What metadata may take in addition: the steps that fit into a time, the average bits. */
    private static final int METADATA = 64;

    private static final int MOST = 8;

    @Option(
            names = "--target-bits",
            paramLabel = "B",
            description = {
                "Every layer gets bits of its own: what weights take in the file with all their bounds is at most B bits on average, like 2.5.",
                "Without BITS inputs get bits of their own too, as many on average as weights."
            })
    private @Nullable Double targetBits;

    @Option(
            names = "--target-size",
            paramLabel = "SIZE",
            converter = SizeConverter.class,
            description = "The same, so that the file has at most SIZE bytes, like 900k (1 k = 1000 bytes) or 1.2m.")
    private @Nullable Long targetSize;

    @Option(
            names = "--allocate",
            paramLabel = "METHOD",
            description =
                    "Who decides: mixquant, fmpq, mlorq or diffq (default: fmpq; see docs/methods/allocation.md).")
    private @Nullable String allocate;

    /** Reads {@code 900k}. */
    static final class SizeConverter implements ITypeConverter<Long> {
        private static final Pattern SIZE = Pattern.compile("(\\d{1,9}(?:\\.\\d{1,6})?)([km]?)b?");

        @Override
        public Long convert(String text) {
            Matcher size = SIZE.matcher(text.toLowerCase(Locale.ROOT));
            if (!size.matches()) {
                throw new TypeConversionException("'" + text + "' is not a size like 900k or 1.2m");
            }
            double factor = switch (size.group(2)) {
                case "k" -> 1e3;
                case "m" -> 1e6;
                default -> 1;
            };
            return (long) (Double.parseDouble(size.group(1)) * factor);
        }
    }

    /** Returns whether layers get bits of their own. */
    boolean given() {
        return targetBits != null || targetSize != null;
    }

    /** Refuses options that contradict each other. */
    void check() {
        if (targetBits != null && targetSize != null) {
            throw new UsageException("--target-bits and --target-size each set the budget; give one of them");
        }
        if (targetBits != null) {
            checkTarget(targetBits);
        }
        if (allocate != null && !given()) {
            throw new UsageException("--allocate needs a budget: --target-bits or --target-size");
        }
        method();
    }

    /** Refuses averages of bits that no allocation can have. */
    static void checkTarget(double bits) {
        if (!(bits >= 1 && bits <= 16)) {
            throw new UsageException("--target-bits must be 1 to 16, not " + bits);
        }
    }

    private Method method() {
        return allocate == null
                ? Method.FMPQ
                : Method.parse(allocate)
                        .orElseThrow(() -> new UsageException("--allocate must be "
                                + Arrays.stream(Method.values()).map(Method::id).collect(Collectors.joining(", "))
                                + ", not '" + allocate + "'"));
    }

    /** Returns what is asked for, in a few characters that file names may have. */
    String label() {
        return targetSize != null ? targetSize / 1000 + "k" : targetBits + "bit";
    }

    /**
     * Returns a recipe that allocates before it does what another does.
     *
     * @param inputs whether inputs get bits of their own
     * @param effective bits of a weight on average
     */
    Recipe before(Recipe recipe, boolean inputs, double effective) {
        List<Pass> passes = new ArrayList<>();
        passes.add(new AllocateBits(method(), OptionalDouble.of(effective), false, inputs));
        passes.addAll(recipe.passes());
        return new Recipe(recipe.id(), recipe.paper(), recipe.fidelity(), recipe.summary(), passes);
    }

    /**
     * Returns the bits that a weight may take on average.
     *
     * @param trial a quantization of a network that is used for nothing else
     * @param network what it quantizes
     * @param metadata of the file
     */
    double effective(Quantization trial, SuperResolutionNetwork network, Map<String, String> metadata)
            throws IOException {
        if (targetSize == null) {
            return targetBits == null ? MOST : targetBits;
        }
        // With 8 bits everywhere the file's header is at its longest, so less of anything else never makes it longer.
        trial.sites().forEach(site -> {
            site.weights().forEach(weight -> weight.allocate(MOST));
            site.inputs().forEach(input -> {
                input.allocate(MOST);
                input.quantize(UniformQuantizer.perTensor(new UniformGrid(MOST, 0, 1)), 0);
            });
        });
        long weights = trial.sites().stream()
                .flatMap(site -> site.weights().stream())
                .mapToLong(weight -> weight.values().size())
                .sum();
        new CalibrateWeights(new MinMax(), true).apply(trial);
        trial.pack();
        long most = fileBytes(network, metadata) + METADATA;
        double effective = QuantizeReport.bitsPerWeight(network) + 8.0 * (targetSize - most) / weights;
        long least = most - weights * (MOST - 1) / 8;
        if (targetSize < least) {
            throw new UsageException(String.format(
                    Locale.ROOT,
                    "--target-size %d is too small: with 1-bit weights the file has %d bytes, most of them of fp32 layers outside the scope (--scope all)",
                    targetSize,
                    least));
        }
        return effective;
    }

    /** Refuses a result that takes more than was asked for, because its recipe needs more for a weight than codes and bounds. */
    void requireMet(SuperResolutionNetwork network, Map<String, String> metadata) throws IOException {
        double bits = QuantizeReport.bitsPerWeight(network);
        if (targetBits != null && bits > targetBits) {
            throw new UsageException(String.format(
                    Locale.ROOT,
                    "the recipe '%s' takes %.3f bits per weight, more than --target-bits %s",
                    metadata.get("recipe"),
                    bits,
                    targetBits));
        }
        if (targetSize != null && fileBytes(network, metadata) > targetSize) {
            throw new UsageException(String.format(
                    Locale.ROOT,
                    "the recipe '%s' takes %d bytes, more than --target-size %d",
                    metadata.get("recipe"),
                    fileBytes(network, metadata),
                    targetSize));
        }
    }

    /** Returns the size of a network's file. */
    static long fileBytes(SuperResolutionNetwork low, Map<String, String> metadata) throws IOException {
        Path file = Files.createTempFile("halftone", ".safetensors");
        try {
            QuantizedModelFile.write(file, low.module(), metadata);
            return Files.size(file);
        } finally {
            Files.delete(file);
        }
    }
}
