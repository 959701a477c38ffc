// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import dev.halftone.quant.Quantization;
import dev.halftone.quant.QuantizedModelFile;
import dev.halftone.quant.Scope;
import dev.halftone.quant.format.FullPrecision;
import dev.halftone.quant.recipe.Recipes;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.InvalidFileException;
import dev.halftone.tensor.io.Safetensors;
import dev.halftone.testing.Fuzzing;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Files of networks, quantized ones too: what is read must also run. */
@Timeout(value = 300, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
public final class ModelFileFuzzTest {
    private static final Path NAME = Path.of("model.safetensors");
    private static final Compute COMPUTE = Compute.ofThreads(1);

    public static void fuzzerTestOneInput(byte[] input) {
        // Codes of one bit become tables of bytes, or floats.
        Fuzzing.bounded(400L * input.length + 4_000_000, () -> {
            SuperResolutionNetwork network;
            try {
                network = Zoo.build(Safetensors.parse(NAME, MemorySegment.ofArray(input)));
            } catch (InvalidFileException e) {
                Fuzzing.requireSentence(e, NAME);
                return;
            }
            try (Upscaler upscaler = Upscaler.of(network, COMPUTE)) {
                upscaler.upscale(Tensor.zeros(5, 6, 3));
            }
        });
    }

    static List<byte[]> seeds() throws IOException {
        List<byte[]> seeds = new ArrayList<>(Fuzzing.files("fuzz/models"));
        Path file = Files.createTempFile("halftone-fuzz-", ".safetensors");
        for (int scale = 2; scale <= 4; scale++) {
            Edsr network = new Edsr(new EdsrConfig(1, 4, scale, 1)).initialize(new SplittableRandom(scale));
            Training.export(network, Map.of("made by", "a test"), file);
            seeds.add(Files.readAllBytes(file));
        }
        for (SwinIrConfig.Head head : SwinIrConfig.Head.values()) {
            SwinIrConfig config = new SwinIrConfig(
                    3,
                    4,
                    List.of(1, 2),
                    List.of(2, 1),
                    6,
                    3,
                    head == SwinIrConfig.Head.RESTORE ? 1 : 2,
                    head,
                    false,
                    1);
            Training.export(new SwinIr(config), config.metadata(), file);
            seeds.add(Files.readAllBytes(file));
        }
        for (int bits : new int[] {1, 2, 3, 4, 8}) {
            Edsr network = new Edsr(new EdsrConfig(1, 4, 2, 1)).initialize(new SplittableRandom(bits));
            seeds.add(quantized(network, bits, file));
        }
        // Every format of weights.
        for (String recipe : List.of("rtn-group", "bcq", "arb-rc-cgb", "ptq1.61-style", "gwq-style")) {
            Edsr network = new Edsr(new EdsrConfig(1, 4, 2, 1)).initialize(new SplittableRandom(5));
            Quantization.Options weights = new Quantization.Options(2, FullPrecision.BITS, Scope.BODY);
            seeds.add(quantized(network, weights, recipe, file));
        }
        SwinIrConfig light =
                new SwinIrConfig(3, 4, List.of(1), List.of(2), 8, 4, 2, SwinIrConfig.Head.DIRECT, false, 1);
        seeds.add(quantized(new SwinIr(light).initialize(new SplittableRandom(4)), 4, file));
        Files.delete(file);
        // Under another key: a digest of the data would keep damage from everything behind it.
        return seeds.stream()
                .map(seed -> new String(seed, StandardCharsets.ISO_8859_1)
                        .replace("halftone_data_sha256", "halftone_data_sha25_")
                        .getBytes(StandardCharsets.ISO_8859_1))
                .toList();
    }

    private static byte[] quantized(SuperResolutionNetwork network, int bits, Path file) throws IOException {
        return quantized(
                network, new Quantization.Options(bits, 9 - bits, bits == 2 ? Scope.ALL : Scope.BODY), "minmax", file);
    }

    private static byte[] quantized(
            SuperResolutionNetwork network, Quantization.Options options, String recipe, Path file) throws IOException {
        Quantization run = new Quantization(
                COMPUTE,
                network.module(),
                options,
                List.of(Tensor.zeros(1, 8, 8, 3).fill(options.weightBits())));
        Recipes.byId(recipe).orElseThrow().apply(run);
        run.pack();
        QuantizedModelFile.write(file, network.module(), network.metadata());
        return Files.readAllBytes(file);
    }

    @Test
    void damagedFilesAreReadOrRefused() throws IOException {
        List<byte[]> tokens = Stream.of(
                        "body.0.body.0:8:8",
                        "body.0.body.0:1:1,",
                        "binary2/1",
                        "codebook2/4",
                        "binary1x2/1",
                        "parts/4(binary2/1+codebook2/1)",
                        "outliers(codebook2/1)",
                        ":2:32:",
                        "body.0.body.0.weight_lower",
                        "\"blocks\":\"1024\",",
                        "\"features\":\"1024\",",
                        "\"scale\":\"3\",",
                        "NaN",
                        "Infinity",
                        "\0\0\u00c0\u007f",
                        "\0\0\u0080\u007f",
                        "\0\0\u0080\u00ff")
                .map(token -> token.getBytes(StandardCharsets.ISO_8859_1))
                .toList();
        Fuzzing.run(seeds(), tokens, ModelFileFuzzTest::fuzzerTestOneInput);
    }
}
