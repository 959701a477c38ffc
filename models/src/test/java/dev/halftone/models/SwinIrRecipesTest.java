// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.nn.Graph;
import dev.halftone.quant.BitOperations;
import dev.halftone.quant.Pass;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.Quantization.LayerReport;
import dev.halftone.quant.QuantizedModelFile;
import dev.halftone.quant.Recipe;
import dev.halftone.quant.Scope;
import dev.halftone.quant.Supervision;
import dev.halftone.quant.format.FullPrecision;
import dev.halftone.quant.recipe.Recipes;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.WeightFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Recipes that were made for other networks on a SwinIR: linear layers, queries, keys and values, products of attention. */
final class SwinIrRecipesTest {
    private final Compute compute = Compute.shared();
    private final Tensor image = image(3);

    private static SwinIr network() {
        return new SwinIr(new SwinIrConfig(3, 12, List.of(2), List.of(2), 24, 4, 2, SwinIrConfig.Head.DIRECT, false, 1))
                .initialize(new SplittableRandom(1));
    }

    private static Tensor image(long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        Tensor x = Tensor.zeros(1, 8, 12, 3);
        for (int i = 0; i < x.size(); i++) {
            x.array()[i] = random.nextInt(256);
        }
        return x;
    }

    private Quantization quantization(SwinIr of, int bits) {
        return new Quantization(
                        compute, of, new Quantization.Options(bits, bits, Scope.BODY), List.of(image(1), image(2)))
                .supervise(new Supervision(network(), List.of(image(4)), null, (step, steps, loss) -> {}));
    }

    /** Weights alone: the products of attention stay as they are, each branch is still one op, and the file gives the same network. */
    @Test
    void weightsAloneAreQuantized(@TempDir Path folder) throws IOException {
        SwinIr low = network();
        Quantization run = new Quantization(
                compute, low, new Quantization.Options(8, FullPrecision.BITS, Scope.BODY), List.of(image(1), image(2)));
        Recipes.byId("dobi").orElseThrow().apply(run);
        assertThat(run.pack())
                .hasSize(2 * 6)
                .allSatisfy(layer -> assertThat(layer.weightBits()).isEqualTo(8))
                .noneMatch(LayerReport::packed);
        assertThat(difference(low)).isBetween(1e-6, 1e-3);
        Path file = folder.resolve("w8a32.safetensors");
        QuantizedModelFile.write(file, low, low.metadata());
        SuperResolutionNetwork back = Zoo.build(WeightFile.read(file));
        float[] wanted =
                low.forward(Graph.eager(compute).constant(image)).tensor().toArray();
        assertThat(back.module()
                        .forward(Graph.eager(compute).constant(image))
                        .tensor()
                        .toArray())
                .isEqualTo(wanted);
        try (Upscaler upscaler = Upscaler.of(back, compute)) {
            assertThat(upscaler.upscale(image.reshape(8, 12, 3)).size()).isEqualTo(wanted.length);
        }
    }

    /** The four operands of attention's products may have bits of their own, in the file too. */
    @Test
    void bitsOfEveryOperandAreInTheFile(@TempDir Path folder) throws IOException {
        SwinIr low = network();
        Quantization run = quantization(low, 3);
        Recipes.byId("adabm-style").orElseThrow().withSteps(2).apply(run);
        Map<String, Set<Integer>> bits = run.pack().stream()
                .filter(layer -> layer.weightBits() == 0)
                .collect(Collectors.groupingBy(
                        layer -> layer.name().replaceAll("\\.[qkav]$", ""),
                        Collectors.mapping(LayerReport::activationBits, Collectors.toSet())));
        assertThat(bits.values()).as("bits of products: %s", bits).anyMatch(set -> set.size() > 1);
        Path file = folder.resolve("mixed.safetensors");
        QuantizedModelFile.write(file, low, low.metadata());
        assertThat(Zoo.build(WeightFile.read(file))
                        .module()
                        .forward(Graph.eager(compute).constant(image))
                        .tensor()
                        .toArray())
                .isEqualTo(low.forward(Graph.eager(compute).constant(image))
                        .tensor()
                        .toArray());
    }

    private double difference(SwinIr low) {
        float[] y = low.forward(Graph.eager(compute).constant(image)).tensor().toArray();
        float[] full =
                network().forward(Graph.eager(compute).constant(image)).tensor().toArray();
        double error = 0;
        double power = 0;
        for (int i = 0; i < y.length; i++) {
            error += Math.pow((double) y[i] - full[i], 2);
            power += Math.pow(full[i], 2);
        }
        return Math.sqrt(error / power);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "dbdc-pac",
                "pams-style",
                "passionsr",
                "passionsr-lbq",
                "noisyquant",
                "repq-style",
                "daq-style",
                "daq-style-tuned",
                "adabm-style",
                "ptq4vm-style",
                "gptq-corrected",
                "smoothquant",
                "awq",
                "dilatequant-style",
                "adaround",
                "brecq",
                "qdrop",
                "apiq-style",
                "ulb-sapr-style",
                "lsq",
                "lsq-plus",
                "pact-style",
                "bi-diffsr-style",
                "bidense-style",
                "clq-style",
                "mixup-style",
                "isquant-style",
                "ptq4vit-style",
                "msfp-style",
                "diffq-style",
                "nupes-style",
                "slim-llm-plus",
                "one-model-style"
            })
    void everyRecipeIsExecuted(String id) {
        Recipe recipe = Recipes.byId(id).orElseThrow();
        SwinIr low = network();
        Quantization run = quantization(low, 8);
        (recipe.trains() ? recipe.withSteps(2) : recipe).apply(run);
        List<LayerReport> layers = run.pack();
        assertThat(layers)
                .hasSize(2 * 10)
                .allSatisfy(layer -> assertThat(layer.weightBits()).isIn(0, 8));
        Map<String, Double> errors = run.outputErrors();
        assertThat(layers)
                .allSatisfy(layer -> assertThat(errors.get(layer.name())).isBetween(1e-12, 0.5));
        assertThat(difference(low)).isLessThan(0.05);
    }

    @Test
    void attentionIsTrainedForFewerSteps() {
        Recipe recipe = Recipes.all().getFirst();
        assertThat(recipe.usualFor(network()).steps()).isEqualTo(recipe.steps() / 4);
        assertThat(recipe.usualFor(new Edsr(new EdsrConfig(1, 4, 2, 1)))).isEqualTo(recipe);
        Recipe untrained = Recipes.byId("minmax").orElseThrow();
        assertThat(untrained.usualFor(network())).isEqualTo(untrained);
    }

    /** Files have the same bytes whatever the number of threads. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "dobi-distill",
                "2dquant",
                "condiquant",
                "passionsr",
                "gptq",
                "ptq4vit-style",
                "diffq-style",
                "nupes-style",
                "slim-llm-plus"
            })
    void threadsDoNotChangeTheResult(String id, @TempDir Path folder) throws IOException {
        List<byte[]> files = new ArrayList<>();
        for (int threads : new int[] {1, 3}) {
            try (Compute some = Compute.ofThreads(threads)) {
                SwinIr low = network();
                Quantization run = new Quantization(
                                some, low, new Quantization.Options(2, 2, Scope.BODY), List.of(image(1), image(2)))
                        .supervise(new Supervision(network(), List.of(image(4)), null, (step, steps, loss) -> {}));
                Recipe recipe = Recipes.byId(id).orElseThrow();
                (recipe.trains() ? recipe.withSteps(4) : recipe).apply(run);
                run.pack();
                Path file = folder.resolve(threads + ".safetensors");
                QuantizedModelFile.write(file, low, low.metadata());
                files.add(Files.readAllBytes(file));
            }
        }
        assertThat(files.get(1)).isEqualTo(files.get(0));
    }

    /** Channels normalised behind a layer norm, and separately for queries, keys and values: the network computes what it did. */
    @ParameterizedTest
    @ValueSource(strings = {"passionsr", "noisyquant", "repq-style", "daq-style"})
    void transformedNetworksComputeWhatTheyDid(String id) {
        SwinIr network = network();
        Quantization run = quantization(network, 3);
        for (Pass pass : Recipes.byId(id).orElseThrow().passes()) {
            if (pass.steps() == 0) {
                pass.apply(run);
            }
        }
        assertThat(difference(network)).isLessThan(1e-5);
    }

    /** By hand for each of the two blocks and pixel of the input, of which four of the output are made. */
    @Test
    void bitOperationsOfBlocks() {
        Quantization run = quantization(network(), 2);
        Recipes.byId("minmax").orElseThrow().apply(run);
        BitOperations operations = BitOperations.of(compute, network(), run.pack());
        double linear = 12 * 36 + 12 * 12 + 2 * 12 * 24;
        double attention = 2 * 4 * 4 * 12;
        double quantized = 2 * (linear + attention) / 4;
        assertThat(operations.layers().values().stream().mapToDouble(v -> v).sum())
                .isEqualTo(quantized);
        assertThat(operations.fp32() - operations.quantized()).isEqualTo(quantized * (32 * 32 - 2 * 2));
        double convolutions = (9 * 3 * 12 + 2 * 9 * 12 * 12 + 9 * 12 * 12) / 4.0;
        assertThat(operations.multiplyAdds()).isEqualTo(quantized + convolutions);
    }

    @Test
    void aTrunkWithNormsIsNotRotated() {
        assertThatThrownBy(() -> Recipes.byId("hadamard").orElseThrow().apply(quantization(network(), 4)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("norms stand in its residual stream");
    }
}
