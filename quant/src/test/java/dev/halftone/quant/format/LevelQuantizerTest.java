// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.format;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.nn.Conv2d;
import dev.halftone.quant.InputOperand;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.Quantization.LayerReport;
import dev.halftone.quant.Quantization.Options;
import dev.halftone.quant.QuantizedModelFile;
import dev.halftone.quant.Scope;
import dev.halftone.quant.SiteState;
import dev.halftone.quant.TinyNetwork;
import dev.halftone.quant.calibration.Histogram;
import dev.halftone.quant.calibration.MinMax;
import dev.halftone.quant.calibration.Samples;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.quant.pass.Distill;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.LevelTable;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.io.InvalidFileException;
import dev.halftone.tensor.io.Safetensors;
import dev.halftone.tensor.io.StoredTensor;
import dev.halftone.tensor.io.WeightFile;
import dev.halftone.tensor.kernels.ChannelNormalization;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Inputs on tables of levels: in simulation, executed, in the file, in the accounting. */
final class LevelQuantizerTest {
    private static final long SEED = 11;

    private final SplittableRandom random = new SplittableRandom(SEED);
    private final Compute compute = Compute.shared();
    private final Tensor image = TinyNetwork.images(3).getFirst();

    @TempDir
    private Path folder = Path.of("");

    private LevelQuantizer table(int bits) {
        double[] levels = new double[2 + random.nextInt((1 << bits) - 1)];
        for (int i = 0; i < levels.length; i++) {
            levels[i] = random.nextGaussian();
        }
        return LevelQuantizer.of(bits, levels);
    }

    @Test
    void levelsAreSortedOnceEachInHalfPrecision() {
        LevelQuantizer q = LevelQuantizer.of(3, 1, -0.0, 0.1, 0, 0.1 + 1e-6, -2);
        assertThat(q.table().toArray()).containsExactly(-2, 0, Float.float16ToFloat(Float.floatToFloat16(0.1f)), 1);
        assertThat(1 / q.table().level(1)).isPositive();
        assertThat(q.bits()).isEqualTo(3);
        assertThat(q.storedBits()).isEqualTo(4 * 16);
        assertThat(q).isEqualTo(new LevelQuantizer(LevelTable.of(3, -2, 0, 0.1f, 1)));
        assertThatThrownBy(() -> LevelQuantizer.of(2, 0, 1e6)).hasMessageContaining("no number in half precision");
        assertThatThrownBy(() -> LevelQuantizer.of(2, 1, 1 + 1e-6)).hasMessageContaining("1 levels for codes");
    }

    private Quantization quantized(TinyNetwork network, int bits, boolean normalized) {
        Quantization run = new Quantization(compute, network, new Options(4, bits, Scope.ALL), TinyNetwork.images(7));
        if (normalized) {
            for (SiteState site : run.sites()) {
                int channels = site.weights().getFirst().values().dim(-2);
                Tensor offset = Tensor.zeros(channels);
                Tensor gain = Tensor.zeros(channels);
                for (int c = 0; c < channels; c++) {
                    offset.set((float) (0.1 * random.nextGaussian()), c);
                    gain.set((float) (0.5 + random.nextDouble()), c);
                }
                site.normalize(List.of(new ChannelNormalization(offset, gain)));
            }
        }
        new CalibrateWeights(new MinMax(), true).apply(run);
        run.sites().forEach(site -> site.inputs().forEach(input -> input.quantize(table(bits), 0.25)));
        return run;
    }

    /** Both compute in fp32 on the same levels. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void whatIsExecutedIsWhatWasSimulated(boolean normalized) throws IOException {
        for (int bits = 1; bits <= 8; bits++) {
            TinyNetwork network = TinyNetwork.random(1);
            Quantization run = quantized(network, bits, normalized);
            run.simulate();
            float[] simulated = network.run(compute, image).toArray();
            List<LayerReport> reports = run.pack();
            float[] executed = network.run(compute, image).toArray();
            double power = 0;
            double error = 0;
            for (int i = 0; i < executed.length; i++) {
                power += Math.pow(simulated[i], 2);
                error += Math.pow(simulated[i] - executed[i], 2);
            }
            if (normalized) {
                assertThat(error / power).as("seed %d, %d bits", SEED, bits).isLessThan(1e-8);
            } else {
                assertThat(executed).as("seed %d, %d bits", SEED, bits).isEqualTo(simulated);
            }
            Path path = folder.resolve(bits + ".safetensors");
            QuantizedModelFile.write(path, network, Map.of());
            WeightFile file = WeightFile.read(path);
            TinyNetwork back = new TinyNetwork();
            QuantizedModelFile.load(file, back);
            assertThat(back.run(compute, image).toArray()).isEqualTo(executed);
            Path again = folder.resolve(bits + "-again.safetensors");
            QuantizedModelFile.write(again, back, Map.of());
            assertThat(again).hasSameBinaryContentAs(path);
            for (LayerReport report : reports) {
                assertThat(report.packed()).isFalse();
                assertThat(report.activationBits()).isEqualTo(bits);
                assertThat(report.activationError()).isEqualTo(0.25);
                long bytes = file.tensors().values().stream()
                        .filter(t -> t.name().startsWith(report.name() + ".weight_")
                                || t.name().startsWith(report.name() + ".activation_"))
                        .mapToLong(t -> t.data().byteSize())
                        .sum();
                int weights = TinyNetwork.random(1).sites().stream()
                        .filter(site -> site.name().equals(report.name()))
                        .mapToInt(site ->
                                ((Conv2d) site.slot().module()).weight().value().size())
                        .sum();
                assertThat(report.effectiveBits()).isEqualTo(8.0 * bytes / weights);
            }
        }
    }

    /** The layers around one whose input has a table run packed as before. */
    @Test
    void onlyLayersWithTablesAreDequantized() {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run = new Quantization(compute, network, new Options(2, 2, Scope.BODY), TinyNetwork.images(7));
        new CalibrateWeights(new MinMax(), true).apply(run);
        new CalibrateActivations(new MinMax()).apply(run);
        run.sites().get(1).inputs().getFirst().quantize(LevelQuantizer.of(2, 0, 0.1, 0.4), 0);
        assertThat(run.pack()).extracting(LayerReport::packed).containsExactly(true, false, true, true);
    }

    @Test
    void gradientsPassThroughWhereATableIsTrainedAround() {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run = new Quantization(compute, network, new Options(4, 4, Scope.BODY), TinyNetwork.images(7))
                .supervise(TinyNetwork.teacher());
        new CalibrateWeights(new MinMax(), true).apply(run);
        new CalibrateActivations(new MinMax()).apply(run);
        InputOperand input = run.sites().get(1).inputs().getFirst();
        LevelQuantizer table = LevelQuantizer.of(4, 0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.3);
        input.quantize(table, 0);
        Tensor before = run.sites().getFirst().weights().getFirst().values();
        new Distill(3, Distill.Trained.BOUNDS_AND_WEIGHTS, Distill.FeatureLoss.RELATIVE, 1).apply(run);
        assertThat(input.quantizer()).isEqualTo(table);
        assertThat(run.sites().getFirst().weights().getFirst().values().toArray())
                .isNotEqualTo(before.toArray());
        assertThat(run.pack()).hasSize(4);
    }

    static List<Map.Entry<StoredTensor, String>> damages() {
        String name = "body.0.body.0.activation_levels";
        return List.of(
                damage(name, "not finite numbers in ascending order", 0, Float.NaN, 1),
                damage(name, "not finite numbers in ascending order", 0, 1, Float.POSITIVE_INFINITY),
                damage(name, "not finite numbers in ascending order", 0, 1, 0.5f),
                damage(name, "not finite numbers in ascending order", 0, 0),
                damage(name, "1 levels for codes of 2 bits", 0),
                damage(name, "5 levels for codes of 2 bits", 0, 1, 2, 3, 4),
                Map.entry(
                        StoredTensor.of(name, Tensor.zeros(4)),
                        "body.0.body.0.activation_levels is F32[4] instead of F16[4]"),
                Map.entry(
                        StoredTensor.halves(name, Tensor.zeros(2, 2)),
                        "body.0.body.0.activation_levels is F16[2, 2] instead of F16[0]"));
    }

    private static Map.Entry<StoredTensor, String> damage(String name, String message, float... levels) {
        return Map.entry(StoredTensor.halves(name, Tensor.of(levels, levels.length)), message);
    }

    @ParameterizedTest
    @MethodSource("damages")
    void damagedTablesAreRefused(Map.Entry<StoredTensor, String> damage) throws IOException {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run = new Quantization(compute, network, new Options(4, 2, Scope.BODY), TinyNetwork.images(7));
        new CalibrateWeights(new MinMax(), true).apply(run);
        run.sites().forEach(site -> site.inputs().getFirst().quantize(table(2), 0));
        run.pack();
        Path path = folder.resolve("damaged.safetensors");
        QuantizedModelFile.write(path, network, Map.of());
        WeightFile file = WeightFile.read(path);
        Map<String, StoredTensor> tensors = new LinkedHashMap<>(file.tensors());
        tensors.put(damage.getKey().name(), damage.getKey());
        Safetensors.write(path, file.metadata(), tensors.values());
        assertThatThrownBy(() -> QuantizedModelFile.load(WeightFile.read(path), new TinyNetwork()))
                .isInstanceOf(InvalidFileException.class)
                .hasMessageStartingWith(path.toString())
                .hasMessageContaining("body.0.body.0.activation")
                .hasMessageContaining(damage.getValue());
        // Bounds beside a table are one of them too many.
        tensors.putAll(file.tensors());
        StoredTensor lower = StoredTensor.of("body.0.body.0.activation_lower", Tensor.zeros(1));
        tensors.put(lower.name(), lower);
        Safetensors.write(path, file.metadata(), tensors.values());
        assertThatThrownBy(() -> QuantizedModelFile.load(WeightFile.read(path), new TinyNetwork()))
                .hasMessageContaining("body.0.body.0.activation_lower is unexpected");
    }

    /** The error of a table is what rounding to it makes, and that of a grid's levels is the grid's. */
    @Test
    void errorsOfTablesAreThoseOfRounding() {
        for (int trial = 0; trial < 50; trial++) {
            Tensor x = Tensor.zeros(500);
            for (int i = 0; i < x.size(); i++) {
                x.set((float) random.nextGaussian(), i);
            }
            LevelTable table = table(1 + random.nextInt(5)).table();
            double exact = 0;
            for (float v : x.toArray()) {
                double least = Double.POSITIVE_INFINITY;
                for (float level : table.toArray()) {
                    least = Math.min(least, Math.pow(v - level, 2));
                }
                exact += least;
            }
            assertThat(Samples.of("x", x).squaredError(table)).isCloseTo(exact, within(1e-6 * exact));
            Histogram histogram = new Histogram("x");
            histogram.add(x);
            assertThat(histogram.squaredError(table)).isCloseTo(exact, within(1e-3 * exact));
            UniformGrid grid = new UniformGrid(3, -1.5f, 2);
            float[] levels = new float[8];
            for (int code = 0; code < levels.length; code++) {
                levels[code] = grid.level(code);
            }
            double even = Samples.of("x", x).squaredError(grid);
            assertThat(Samples.of("x", x).squaredError(LevelTable.of(3, levels)))
                    .isCloseTo(even, within(1e-6 * even));
        }
    }
}
