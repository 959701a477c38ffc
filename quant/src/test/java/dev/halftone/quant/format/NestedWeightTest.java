// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant.format;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.quant.Quantization;
import dev.halftone.quant.Quantization.LayerReport;
import dev.halftone.quant.Quantization.Options;
import dev.halftone.quant.QuantizedModelFile;
import dev.halftone.quant.Scope;
import dev.halftone.quant.TinyNetwork;
import dev.halftone.quant.WeightWidths;
import dev.halftone.quant.calibration.Dobi;
import dev.halftone.quant.calibration.MinMax;
import dev.halftone.quant.calibration.Samples;
import dev.halftone.quant.calibration.Tails;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.NestBits;
import dev.halftone.quant.recipe.Recipes;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.io.InvalidFileException;
import dev.halftone.tensor.io.Safetensors;
import dev.halftone.tensor.io.StoredTensor;
import dev.halftone.tensor.io.WeightFile;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Weights of any width over random layers, and files of them opened at every width. */
final class NestedWeightTest {
    private static final long SEED = 71;

    private final Compute compute = Compute.shared();
    private final SplittableRandom random = new SplittableRandom(SEED);

    private Tensor gaussian(int... dims) {
        Tensor t = Tensor.zeros(dims);
        for (int i = 0; i < t.size(); i++) {
            t.array()[i] = (float) (0.1 * random.nextGaussian());
        }
        return t;
    }

    private static UniformQuantizer master(Tensor w) {
        return new NestBits(new Dobi(Dobi.Variant.AUTO)).master("w", w);
    }

    /** Returns the squared error of each output. */
    private static double[] errors(Tensor w, Tensor q) {
        double[] errors = new double[w.dim(-1)];
        for (int i = 0; i < w.size(); i++) {
            double d = (double) w.array()[i] - q.array()[i];
            errors[i % errors.length] += d * d;
        }
        return errors;
    }

    @Test
    void codesOfFewerBitsAreTheFirstOfThoseOfMore() {
        for (int master = 0; master < 256; master++) {
            assertThat(NestedWeight.code(master, 8)).isEqualTo(master);
            for (int width = 1; width < 8; width++) {
                assertThat(NestedWeight.code(master, width)).isEqualTo(NestedWeight.code(master, width + 1) / 2);
            }
        }
    }

    /** Without clipping, 8 bits are rounding to the nearest of 256 levels; the fitted ones are the same to a tenth of a step. */
    @Test
    void eightBitsAreRoundingToTheNearest() {
        Tensor w = gaussian(3, 3, 64, 5);
        List<UniformGrid> grids = new ArrayList<>();
        for (int o = 0; o < 5; o++) {
            grids.add(new MinMax().calibrate(Samples.ofChannel("w", w, o), 8, Tails.BOTH));
        }
        UniformQuantizer master = new UniformQuantizer(grids);
        UniformWeight eight = NestedWeight.of(w, master, 8).executable();
        assertThat(eight.codes().toByteArray()).isEqualTo(master.codes(w).toByteArray());
        float[] fitted = eight.dequantize().toArray();
        float[] nearest = master.fake(w).toArray();
        for (int i = 0; i < nearest.length; i++) {
            assertThat(fitted[i])
                    .as("seed %d", SEED)
                    .isCloseTo(nearest[i], within(0.1f * grids.get(i % 5).scale()));
        }
    }

    /** More bits never have more error, and the fitted grids never more than those that cutting off bits leaves. */
    @ParameterizedTest
    @ValueSource(ints = {16, 72, 576})
    void errorsFallWithBitsAndByFitting(int inputs) {
        for (int layer = 0; layer < 5; layer++) {
            Tensor w = gaussian(inputs, 6);
            UniformQuantizer master = master(w);
            double before = Double.POSITIVE_INFINITY;
            for (int bits = 1; bits <= 8; bits++) {
                NestedWeight nested = NestedWeight.of(w, master, bits);
                double[] fitted = errors(w, nested.dequantize());
                double sum = 0;
                for (int o = 0; o < 6; o++) {
                    sum += fitted[o];
                }
                assertThat(sum).as("seed %d, %d bits", SEED, bits).isLessThanOrEqualTo(before);
                before = sum;
                int width = bits;
                UniformQuantizer cut = new UniformQuantizer(master.grids().stream()
                        .map(grid -> NestedWeight.cut(grid, width))
                        .toList());
                UniformWeight codes = nested.executable();
                double[] unfitted = errors(w, cut.dequantize(codes.codes(), codes.shape()));
                for (int o = 0; o < 6; o++) {
                    assertThat(fitted[o]).isLessThanOrEqualTo(unfitted[o] * (1 + 1e-5));
                }
            }
        }
    }

    /** What one range costs beside the best bounds for each width. */
    @Test
    void noWidthIsFarFromBoundsOfItsOwn() {
        Tensor w = gaussian(576, 32);
        double[] most = {1.05, 1.25, 1.1, 1.25};
        for (int bits = 1; bits <= 4; bits++) {
            double nested = sum(errors(w, NestedWeight.of(w, master(w), bits).dequantize()));
            assertThat(nested / errorOfOwnBounds(w, bits))
                    .as("seed %d, %d bits", SEED, bits)
                    .isLessThan(most[bits - 1]);
        }
    }

    private static double sum(double[] values) {
        double sum = 0;
        for (double v : values) {
            sum += v;
        }
        return sum;
    }

    private static double errorOfOwnBounds(Tensor w, int bits) {
        List<UniformGrid> grids = new ArrayList<>();
        for (int o = 0; o < w.dim(-1); o++) {
            grids.add(new Dobi(Dobi.Variant.AUTO).calibrate(Samples.ofChannel("w", w, o), bits, Tails.BOTH));
        }
        return sum(errors(w, new UniformQuantizer(grids).fake(w)));
    }

    @Test
    void outputsOfOneValueHaveGridsToo() {
        Tensor w = gaussian(9, 2);
        for (int i = 0; i < 9; i++) {
            w.set(0.25f, i, 1);
        }
        for (int bits = 1; bits <= 8; bits++) {
            double[] errors = errors(w, NestedWeight.of(w, master(w), bits).dequantize());
            assertThat(errors[1]).as("%d bits", bits).isLessThan(1e-6);
        }
    }

    private Path file(Path folder, int bits) throws IOException {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run =
                new Quantization(compute, network, new Options(bits, 8, Scope.BODY), TinyNetwork.images(SEED));
        Recipes.byId("one-model-style").orElseThrow().apply(run);
        // 8 bits, and for each of 8 outputs eight grids of two floats; the input's bounds.
        assertThat(run.pack())
                .hasSize(4)
                .allMatch(LayerReport::packed)
                .allMatch(layer -> layer.weightBits() == bits)
                .allMatch(layer -> layer.effectiveBits() == 8 + (8 * 8 * 2 * 32 + 64) / 576.0);
        Path file = folder.resolve("any.safetensors");
        QuantizedModelFile.write(file, network, Map.of());
        Tensor image = TinyNetwork.images(3).getFirst();
        assertThat(opened(WeightFile.read(file)).run(compute, image).toArray())
                .isEqualTo(network.run(compute, image).toArray());
        return file;
    }

    private static TinyNetwork opened(WeightFile file) throws IOException {
        TinyNetwork network = new TinyNetwork();
        QuantizedModelFile.load(file, network);
        return network;
    }

    /** One file opened at a width is the network that was quantized to the codes of this width. */
    @ParameterizedTest
    @ValueSource(ints = {8, 4, 3, 2, 1})
    void aFileOpensAtEveryWidth(int bits, @TempDir Path folder) throws IOException {
        WeightFile file = WeightFile.read(file(folder, 4));
        assertThat(WeightWidths.of(file)).hasValue(4);
        WeightFile chosen = WeightWidths.choose(file, bits);
        assertThat(WeightWidths.of(chosen)).hasValue(bits);
        assertThat(chosen.tensors()).isEqualTo(file.tensors());

        TinyNetwork fresh = TinyNetwork.random(1);
        Quantization run = new Quantization(compute, fresh, new Options(bits, 8, Scope.BODY), TinyNetwork.images(SEED));
        new CalibrateActivations(new Dobi(Dobi.Variant.AUTO)).apply(run);
        run.storeWeights((weight, _) -> {
            Tensor w = weight.values();
            return NestedWeight.of(w, master(w), bits).executable();
        });
        assertThat(run.pack()).allMatch(LayerReport::packed);
        Tensor image = TinyNetwork.images(3).getFirst();
        assertThat(opened(chosen).run(compute, image).toArray())
                .isEqualTo(fresh.run(compute, image).toArray());
    }

    @Test
    void otherFilesHaveNoWidthToChoose(@TempDir Path folder) throws IOException {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run = new Quantization(compute, network, new Options(4, 8, Scope.BODY), TinyNetwork.images(SEED));
        Recipes.byId("minmax").orElseThrow().apply(run);
        run.pack();
        Path path = folder.resolve("four.safetensors");
        QuantizedModelFile.write(path, network, Map.of());
        WeightFile file = WeightFile.read(path);
        assertThat(WeightWidths.of(file)).isEmpty();
        assertThatThrownBy(() -> WeightWidths.choose(file, 3))
                .isInstanceOf(InvalidFileException.class)
                .hasMessageContaining("weights of one width each");
        WeightFile any = WeightFile.read(file(folder, 4));
        assertThatThrownBy(() -> WeightWidths.choose(any, 9)).hasMessageContaining("1 to 8 bits, not 9");
    }

    /** Grids of every width are checked, not only those of the one that the file is opened at. */
    @Test
    void damagedGridsAreRefused(@TempDir Path folder) throws IOException {
        WeightFile file = WeightFile.read(file(folder, 4));
        String name = "body.0.body.0.weight_lower";
        List<StoredTensor> tensors = new ArrayList<>();
        for (StoredTensor tensor : file.tensors().values()) {
            Tensor values = tensor.name().equals(name) ? tensor.toTensor().copy() : null;
            if (values != null) {
                values.set(1e9f, 6, 0); // of 7 bits
            }
            tensors.add(values == null ? tensor : StoredTensor.of(name, values));
        }
        Path damaged = folder.resolve("damaged.safetensors");
        Safetensors.write(damaged, file.metadata(), tensors);
        assertThatThrownBy(() -> opened(WeightFile.read(damaged)))
                .isInstanceOf(InvalidFileException.class)
                .hasMessageContaining("body.0.body.0 cannot be read");
        tensors.removeIf(tensor -> tensor.name().equals(name));
        Safetensors.write(damaged, file.metadata(), tensors);
        assertThatThrownBy(() -> opened(WeightFile.read(damaged))).hasMessageContaining(name + " is missing");
    }
}
