// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.nn.Graph;
import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.Quantization.LayerReport;
import dev.halftone.quant.QuantizedModelFile;
import dev.halftone.quant.Scope;
import dev.halftone.quant.calibration.MinMax;
import dev.halftone.quant.format.LevelQuantizer;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.CalibrateWeights;
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
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Tables of levels on every operand of a SwinIR: linear layers, queries, keys, probabilities and values. */
final class SwinIrLevelsTest {
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

    private Quantization run(SwinIr of, int bits) {
        return new Quantization(
                compute, of, new Quantization.Options(bits, bits, Scope.BODY), List.of(image(1), image(2)));
    }

    private float[] answer(SwinIr of) {
        return of.forward(Graph.eager(compute).constant(image)).tensor().toArray();
    }

    /** Levels within the range of an input, denser towards 0. */
    private static LevelQuantizer around(InputOperand input, double low, double high, int bits) {
        int half = 1 << (bits - 1);
        double[] levels = new double[2 * half];
        for (int i = 0; i < half; i++) {
            levels[i] = low * Math.pow((i + 1.0) / half, 1.5);
            levels[half + i] = high * Math.pow((double) i / half, 1.5);
        }
        return LevelQuantizer.of(input.bits(), levels);
    }

    private SwinIr withTables(Quantization[] last) {
        SwinIr low = network();
        Quantization run = run(low, 6);
        new CalibrateWeights(new MinMax(), true).apply(run);
        run.observeInputs()
                .forEach((input, seen) ->
                        input.quantize(around(input, Math.min(seen.min(), -1e-3), Math.max(seen.max(), 1e-3), 6), 0));
        last[0] = run;
        return low;
    }

    @Test
    void everyOperandIsExecutedAsItWasSimulated(@TempDir Path folder) throws IOException {
        Quantization[] run = new Quantization[1];
        SwinIr low = withTables(run);
        run[0].simulate();
        float[] simulated = answer(low);
        List<LayerReport> layers = run[0].pack();
        assertThat(layers).hasSize(2 * 10).noneMatch(LayerReport::packed);
        float[] executed = answer(low);
        double error = 0;
        double quantization = 0;
        float[] full = answer(network());
        for (int i = 0; i < full.length; i++) {
            error += Math.pow(executed[i] - simulated[i], 2);
            quantization += Math.pow(full[i] - simulated[i], 2);
        }
        // A sum in another order may change a code here and there.
        assertThat(error / quantization).isLessThan(1e-3);
        assertThat(quantization).isPositive();

        Path path = folder.resolve("tables.safetensors");
        QuantizedModelFile.write(path, low, low.metadata());
        SuperResolutionNetwork back = Zoo.build(WeightFile.read(path));
        assertThat(answer((SwinIr) back.module())).isEqualTo(executed);
        try (Upscaler upscaler = Upscaler.of(back, compute)) {
            Tensor planned = upscaler.upscale(image.reshape(8, 12, 3));
            double worst = 0;
            for (int i = 0; i < executed.length; i++) {
                worst = Math.max(worst, Math.abs(planned.array()[planned.offset() + i] - executed[i]));
            }
            assertThat(worst).isLessThan(1);
        }
        Path again = folder.resolve("again.safetensors");
        QuantizedModelFile.write(again, back.module(), low.metadata());
        assertThat(again).hasSameBinaryContentAs(path);
    }

    @Test
    void attentionMixesGridsAndTables(@TempDir Path folder) throws IOException {
        SwinIr low = network();
        Quantization run = run(low, 4);
        new CalibrateWeights(new MinMax(), true).apply(run);
        new CalibrateActivations(new MinMax()).apply(run);
        run.sites()
                .forEach(site -> site.inputs().stream()
                        .filter(input -> input.name().endsWith(".a"))
                        .forEach(input -> input.quantize(LevelQuantizer.of(4, 0, 0.01, 0.03, 0.1, 0.3, 1), 0)));
        run.simulate();
        float[] simulated = answer(low);
        List<LayerReport> layers = run.pack();
        assertThat(layers.stream().filter(layer -> layer.weightBits() > 0)).allMatch(LayerReport::packed);
        float[] executed = answer(low);
        double error = 0;
        double quantization = 0;
        float[] full = answer(network());
        for (int i = 0; i < full.length; i++) {
            error += Math.pow(executed[i] - simulated[i], 2);
            quantization += Math.pow(full[i] - simulated[i], 2);
        }
        assertThat(error / quantization).isLessThan(1e-2);
        Path path = folder.resolve("mixed.safetensors");
        QuantizedModelFile.write(path, low, low.metadata());
        WeightFile file = WeightFile.read(path);
        String attention = "layers.0.residual_group.blocks.0.attn.products";
        assertThat(file.tensors()).containsKeys(attention + ".a_levels", attention + ".q_lower");
        assertThat(file.tensors()).doesNotContainKey(attention + ".a_lower");
        assertThat(answer((SwinIr) Zoo.build(file).module())).isEqualTo(executed);

        Map<String, StoredTensor> tensors = new LinkedHashMap<>(file.tensors());
        StoredTensor bad = StoredTensor.halves(attention + ".a_levels", Tensor.of(new float[] {0, 1, 1}, 3));
        tensors.put(bad.name(), bad);
        Safetensors.write(path, file.metadata(), tensors.values());
        assertThatThrownBy(() -> Zoo.build(WeightFile.read(path)))
                .isInstanceOf(InvalidFileException.class)
                .hasMessageContaining(attention + ".a cannot be read: levels that are not finite numbers in ascending");
    }

    @Test
    void repqHasPowersOfTheRootOfTwoBehindSoftmax() {
        SwinIr low = network();
        Quantization run = run(low, 4);
        Recipes.byId("repq-style").orElseThrow().apply(run);
        for (LayerReport layer : run.pack()) {
            assertThat(layer.activation() instanceof LevelQuantizer)
                    .as(layer.name())
                    .isEqualTo(layer.name().endsWith(".a"));
        }
        assertThat(answer(low)).doesNotContain(Float.NaN);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 8})
    void ptq4VitHasTwoRangesBehindSoftmaxAndGelu(int bits) {
        SwinIr low = network();
        Quantization run = run(low, bits);
        Recipes.byId("ptq4vit-style").orElseThrow().apply(run);
        for (LayerReport layer : run.pack()) {
            boolean twin = bits > 1 && layer.name().matches(".*(\\.a|fc2)");
            assertThat(layer.activation() instanceof LevelQuantizer)
                    .as(layer.name())
                    .isEqualTo(twin);
            assertThat(layer.packed()).as(layer.name()).isEqualTo(layer.weightBits() > 0 && !twin);
        }
        assertThat(answer(low)).doesNotContain(Float.NaN);
    }
}
