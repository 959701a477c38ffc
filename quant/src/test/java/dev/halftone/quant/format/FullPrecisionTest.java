// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.format;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.nn.Conv2d;
import dev.halftone.nn.Module;
import dev.halftone.nn.Parameter;
import dev.halftone.quant.DequantizedLayer;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.Quantization.LayerReport;
import dev.halftone.quant.Quantization.Options;
import dev.halftone.quant.QuantizedModelFile;
import dev.halftone.quant.Recipe;
import dev.halftone.quant.Scope;
import dev.halftone.quant.TinyNetwork;
import dev.halftone.quant.calibration.MinMax;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.quant.pass.Equalize;
import dev.halftone.quant.recipe.Recipes;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.InvalidFileException;
import dev.halftone.tensor.io.Safetensors;
import dev.halftone.tensor.io.StoredTensor;
import dev.halftone.tensor.io.WeightFile;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Quantization of weights alone: 32 activation bits. */
final class FullPrecisionTest {
    private static final Options W2A32 = new Options(2, FullPrecision.BITS, Scope.BODY);

    private final Compute compute = Compute.shared();
    private final Tensor image = TinyNetwork.images(3).getFirst();

    @TempDir
    private Path folder = Path.of("");

    private Quantization run(TinyNetwork network) {
        return new Quantization(compute, network, W2A32, TinyNetwork.images(7)).supervise(TinyNetwork.teacher());
    }

    /** The same network with the levels of its weights written into its fp32 layers computes the same, to the bit. */
    @ParameterizedTest
    @ValueSource(strings = {"minmax", "mse", "gptq", "squant", "hqq", "dobi", "dobi-distill", "2dquant", "pams-style"})
    void layersComputeInFp32OnTheLevelsOfTheirWeights(String recipe) throws IOException {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run = run(network);
        Recipes.byId(recipe).orElseThrow().withSteps(3).apply(run);
        List<LayerReport> reports = run.pack();
        assertThat(reports).hasSize(4).noneMatch(LayerReport::packed).allSatisfy(report -> {
            assertThat(report.activationBits()).isEqualTo(FullPrecision.BITS);
            assertThat(report.activationError()).isZero();
        });
        float[] answer = network.run(compute, image).toArray();

        TinyNetwork levels = TinyNetwork.random(1);
        for (int i = 0; i < levels.sites().size(); i++) {
            Conv2d conv = (Conv2d) levels.sites().get(i).slot().module();
            switch (network.sites().get(i).slot().module()) {
                case DequantizedLayer layer -> {
                    Tensor weight = layer.stored().dequantize();
                    assertThat(distinct(weight, 0)).isBetween(2L, 4L);
                    copy(weight, layer.bias(), conv);
                }
                case Conv2d own -> {
                    Parameter bias = own.bias();
                    copy(own.weight().value(), bias == null ? null : bias.value(), conv);
                }
                case Module other -> throw new AssertionError(other);
            }
        }
        assertThat(levels.run(compute, image).toArray()).isEqualTo(answer);

        Path file = folder.resolve("w2a32.safetensors");
        QuantizedModelFile.write(file, network, Map.of());
        TinyNetwork back = new TinyNetwork();
        QuantizedModelFile.load(WeightFile.read(file), back);
        assertThat(back.run(compute, image).toArray()).isEqualTo(answer);
    }

    private static void copy(Tensor weight, @Nullable Tensor bias, Conv2d to) {
        to.weight().value().copyFrom(weight);
        Parameter own = to.bias();
        if (own != null && bias != null) {
            own.value().copyFrom(bias);
        }
    }

    private static long distinct(Tensor weight, int channel) {
        int out = weight.dim(-1);
        return IntStream.range(0, weight.size() / out)
                .mapToObj(i -> weight.array()[i * out + channel])
                .distinct()
                .count();
    }

    @Test
    void effectiveBitsCountCodesAndBounds() {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run = run(network);
        new CalibrateWeights(new MinMax(), true).apply(run);
        // 576 codes of 2 bits, and two bounds for each of 8 channels.
        double expected = 2 + 8 * 64 / 576.0;
        assertThat(run.pack())
                .allSatisfy(report -> assertThat(report.effectiveBits()).isEqualTo(expected));

        Quantization both =
                new Quantization(compute, TinyNetwork.random(1), new Options(2, 4, Scope.BODY), TinyNetwork.images(7));
        Recipes.byId("minmax").orElseThrow().apply(both);
        assertThat(both.pack())
                .allSatisfy(report -> assertThat(report.effectiveBits()).isEqualTo(expected + 64 / 576.0));
    }

    @Test
    void theFileHasCodesAndNoBoundsOfInputs() throws IOException {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run = run(network);
        new CalibrateWeights(new MinMax(), true).apply(run);
        run.pack();
        Path path = folder.resolve("w2a32.safetensors");
        QuantizedModelFile.write(path, network, Map.of());
        WeightFile file = WeightFile.read(path);
        assertThat(file.metadata().get("quantized_layers")).startsWith("body.0.body.0:2:32,");
        assertThat(file.tensors())
                .containsKeys("body.0.body.0.weight_codes", "body.0.body.0.weight_lower")
                .doesNotContainKeys("body.0.body.0.activation_lower", "body.0.body.0.weight");

        Map<String, StoredTensor> tensors = new LinkedHashMap<>(file.tensors());
        tensors.put(
                "body.0.body.0.activation_lower", StoredTensor.of("body.0.body.0.activation_lower", Tensor.zeros(1)));
        Safetensors.write(path, file.metadata(), tensors.values());
        assertThatThrownBy(() -> QuantizedModelFile.load(WeightFile.read(path), new TinyNetwork()))
                .isInstanceOf(InvalidFileException.class)
                .hasMessageContaining("body.0.body.0.activation_lower is unexpected");
    }

    /** The gain of a normalised input is in the weight, and comes back from the file. */
    @Test
    void normalisedChannelsComputeTheSame() throws IOException {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run = new Quantization(
                compute, network, new Options(8, FullPrecision.BITS, Scope.BODY), TinyNetwork.images(7));
        new Equalize(0.5).apply(run);
        new CalibrateWeights(new MinMax(), true).apply(run);
        assertThat(run.pack())
                .allSatisfy(report -> assertThat(report.effectiveBits()).isEqualTo(8 + (8 * 64 + 8 * 32) / 576.0));
        float[] answer = network.run(compute, image).toArray();
        float[] full = TinyNetwork.random(1).run(compute, image).toArray();
        for (int i = 0; i < full.length; i++) {
            assertThat(answer[i]).isCloseTo(full[i], within(0.01f));
        }
        Path file = folder.resolve("w8a32.safetensors");
        QuantizedModelFile.write(file, network, Map.of());
        TinyNetwork back = new TinyNetwork();
        QuantizedModelFile.load(WeightFile.read(file), back);
        assertThat(back.run(compute, image).toArray()).isEqualTo(answer);
    }

    @ParameterizedTest
    @ValueSource(strings = {"noisyquant", "repq-style", "daq-style"})
    void recipesAboutGridsOfInputsSayThatThereAreNone(String recipe) {
        Recipe chosen = Recipes.byId(recipe).orElseThrow();
        assertThatThrownBy(() -> chosen.apply(run(TinyNetwork.random(1))))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("is about the grids of activations, which are to stay fp32");
    }

    static List<Recipe> recipes() {
        return Recipes.all();
    }

    /** Every recipe quantizes weights alone, or says in a sentence that it is about activations. */
    @ParameterizedTest
    @MethodSource("recipes")
    void everyRecipeRunsOrSaysWhyNot(Recipe recipe) {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run = run(network);
        Throwable refusal = catchThrowable(() -> recipe.withSteps(2).apply(run));
        if (refusal != null) {
            assertThat(refusal)
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("is about the grids of activations, which are to stay fp32");
            return;
        }
        assertThat(run.pack()).hasSize(4).allSatisfy(report -> {
            assertThat(report.activationBits()).isEqualTo(FullPrecision.BITS);
            assertThat(report.packed()).isFalse();
            assertThat(report.effectiveBits()).isPositive();
        });
        assertThat(network.run(compute, image).toArray()).doesNotContain(Float.NaN);
    }
}
