// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.nn.Conv2d;
import dev.halftone.nn.Graph;
import dev.halftone.nn.Module;
import dev.halftone.nn.Site;
import dev.halftone.nn.Value;
import dev.halftone.quant.Quantization.LayerReport;
import dev.halftone.quant.Quantization.Options;
import dev.halftone.quant.calibration.Dobi;
import dev.halftone.quant.calibration.MinMax;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.quant.pass.CalibrateActivations;
import dev.halftone.quant.pass.CalibrateWeights;
import dev.halftone.quant.recipe.Recipes;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
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
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

final class QuantizationTest {
    private static final Recipe MINMAX = Recipes.byId("minmax").orElseThrow();

    private final Compute compute = Compute.shared();

    private Quantization quantization(Module network, int bits, Scope scope) {
        return new Quantization(compute, network, new Options(bits, bits, scope), TinyNetwork.images(7));
    }

    @Test
    void activationsAreThoseOfTheFullPrecisionNetwork() {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run = quantization(network, 3, Scope.BODY);
        MINMAX.apply(run);
        List<LayerReport> reports = run.simulate();

        // The input of the first site is the head's output, whatever the others do.
        TinyNetwork full = TinyNetwork.random(1);
        float min = Float.POSITIVE_INFINITY;
        float max = Float.NEGATIVE_INFINITY;
        for (Tensor batch : TinyNetwork.images(7)) {
            Value features =
                    full.sites().getFirst().slot().forward(Graph.eager(compute).constant(batch));
            for (float v : features.tensor().toArray()) {
                min = Math.min(min, v);
                max = Math.max(max, v);
            }
        }
        LayerReport first = reports.getFirst();
        assertThat(first.name()).isEqualTo("body.0.body.0");
        assertThat(first.activation()).isEqualTo(UniformQuantizer.perTensor(new UniformGrid(3, min, max)));
        assertThat(first.packed()).isFalse();
        // The second convolution of a block sees what a ReLU has cut.
        assertThat(grid(reports.get(1)).lower()).isZero();
    }

    @Test
    void calibrationLeavesTheNetworkAsItWas() {
        TinyNetwork network = TinyNetwork.random(1);
        Tensor image = TinyNetwork.images(3).getFirst();
        float[] before = network.run(compute, image).toArray();
        Quantization run = quantization(network, 2, Scope.ALL);
        MINMAX.apply(run);
        assertThat(network.run(compute, image).toArray()).isEqualTo(before);
        assertThat(network.sites())
                .allSatisfy(s -> assertThat(s.slot().module()).isInstanceOf(Conv2d.class));

        Quantization failing = new Quantization(
                compute,
                network,
                new Options(2, 2, Scope.ALL),
                List.of(Tensor.zeros(1, 4, 4, 3).fill(Float.NaN)));
        assertThatThrownBy(() -> MINMAX.apply(failing))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("the input of head");
        assertThat(network.run(compute, image).toArray()).isEqualTo(before);
    }

    @ParameterizedTest
    @CsvSource({"body, 4", "body+upsampler, 6", "all, 8"})
    void scopesNameRegions(String id, int sites) {
        Scope scope = Scope.parse(id).orElseThrow();
        assertThat(scope.id()).isEqualTo(id);
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run = quantization(network, 4, scope);
        MINMAX.apply(run);
        List<LayerReport> reports = run.pack();
        assertThat(reports).hasSize(sites).allMatch(LayerReport::packed);
        Set<String> packed = network.sites().stream()
                .filter(s -> s.slot().module() instanceof QuantizedConv2d)
                .map(Site::name)
                .collect(Collectors.toSet());
        assertThat(packed).isEqualTo(reports.stream().map(LayerReport::name).collect(Collectors.toSet()));
        assertThat(Scope.parse("everything")).isEmpty();
    }

    @Test
    void moreBitsAreCloser() {
        Tensor image = TinyNetwork.images(3).getFirst();
        Tensor full = TinyNetwork.random(1).run(compute, image);
        double last = Double.POSITIVE_INFINITY;
        for (int bits : new int[] {2, 4, 8}) {
            TinyNetwork network = TinyNetwork.random(1);
            Quantization run = quantization(network, bits, Scope.ALL);
            Recipes.byId("dobi").orElseThrow().apply(run);
            List<LayerReport> reports = run.pack();
            double error = 0;
            Tensor y = network.run(compute, image);
            for (int i = 0; i < y.size(); i++) {
                error += Math.pow(y.array()[i] - full.array()[i], 2);
            }
            assertThat(error).isLessThan(last / 8);
            last = error;
            for (LayerReport report : reports) {
                assertThat(report.weightBits()).isEqualTo(bits);
                assertThat(report.activationBits()).isEqualTo(bits);
                // A uniform quantizer of n levels over the whole range of uniform values errs by 1 / n^2; a bell costs
                // a few times that.
                double levels = 1 << bits;
                assertThat(report.weightError()).isBetween(1e-3 / (levels * levels), 10 / (levels * levels));
                assertThat(report.activationError()).isBetween(1e-3 / (levels * levels), 10 / (levels * levels));
            }
        }
    }

    @Test
    void reportsHowFarTheQuantizedValuesAreOff() {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run = quantization(network, 2, Scope.BODY);
        UniformQuantizer[] chosen = new UniformQuantizer[1];
        new CalibrateWeights(new MinMax(), false).apply(run);
        new CalibrateActivations(new Dobi(Dobi.Variant.AUTO)).apply(run);
        chosen[0] = run.sites().getFirst().weights().getFirst().quantizer();
        double error = 0;
        double power = 0;
        Tensor w = run.sites().getFirst().weights().getFirst().values();
        for (float v : w.toArray()) {
            UniformGrid grid = chosen[0].grid(0);
            double d = (double) v - grid.level(grid.code(v));
            error += d * d;
            power += (double) v * v;
        }
        assertThat(run.pack().getFirst().weightError()).isCloseTo(error / power, within(1e-12));
    }

    static List<Recipe> recipes() {
        return Recipes.all();
    }

    @ParameterizedTest
    @MethodSource("recipes")
    void everyRecipeRunsAtEveryWidth(Recipe recipe) {
        Tensor image = TinyNetwork.images(3).getFirst();
        for (int bits = 1; bits <= 8; bits++) {
            TinyNetwork network = TinyNetwork.random(1);
            Quantization run =
                    new Quantization(compute, network, new Options(bits, 9 - bits, Scope.ALL), TinyNetwork.images(7));
            recipe.withSteps(2).apply(run.supervise(TinyNetwork.teacher()));
            assertThat(run.pack()).hasSize(8);
            assertThat(network.run(compute, image).toArray()).doesNotContain(Float.NaN);
        }
    }

    @Test
    void recipesHaveDistinctNames() {
        assertThat(Recipes.all().stream().map(Recipe::id))
                .doesNotHaveDuplicates()
                .startsWith("dobi-distill");
        for (Recipe recipe : Recipes.all()) {
            assertThat(Recipes.byId(recipe.id())).contains(recipe);
            assertThat(recipe.passes().stream().map(Pass::id))
                    .doesNotHaveDuplicates()
                    .isNotEmpty();
            assertThat(recipe.paper()).isNotBlank();
            assertThat(recipe.summary()).isNotBlank();
        }
        assertThat(Recipes.byId("none")).isEmpty();
    }

    /** The layer after a ReLU is the one that the one-sided search is for. */
    @Test
    void dobiAsPrintedIsOneSidedBehindReLUs() {
        List<UniformGrid> printed = activations("dobi-paper");
        List<UniformGrid> released = activations("dobi-released");
        for (int i = 0; i < printed.size(); i++) {
            if (i % 2 == 0) {
                assertThat(printed.get(i)).isEqualTo(released.get(i));
            } else {
                assertThat(printed.get(i).lower()).isZero();
                assertThat(released.get(i).lower()).isPositive();
            }
        }
    }

    @Test
    void outputErrorsAddUpAlongTheNetwork() {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run = quantization(network, 2, Scope.BODY).supervise(TinyNetwork.teacher());
        MINMAX.apply(run);
        assertThat(run.outputErrors())
                .as("nothing is quantized yet")
                .allSatisfy((name, error) -> assertThat(error).isZero());
        run.pack();
        Map<String, Double> errors = run.outputErrors();
        assertThat(errors.keySet()).containsExactly("body.0.body.0", "body.0.body.2", "body.1.body.0", "body.1.body.2");
        // By hand for the first layer, whose input is still the one of the fp32 network.
        double error = 0;
        double power = 0;
        TinyNetwork full = TinyNetwork.random(1);
        for (Tensor batch : TinyNetwork.heldBack()) {
            Graph graph = Graph.eager(compute);
            Value x = full.sites().getFirst().slot().forward(graph.constant(batch));
            float[] y = full.sites().get(1).slot().forward(x).tensor().toArray();
            float[] q = network.sites().get(1).slot().forward(x).tensor().toArray();
            for (int i = 0; i < y.length; i++) {
                error += Math.pow((double) y[i] - q[i], 2);
                power += (double) y[i] * y[i];
            }
        }
        assertThat(errors.get("body.0.body.0")).isCloseTo(error / power, within(1e-9));
        assertThat(network.sites().get(1).slot().module()).isInstanceOf(QuantizedConv2d.class);
    }

    private static UniformGrid grid(LayerReport layer) {
        return ((UniformQuantizer) layer.activation()).grid(0);
    }

    private List<UniformGrid> activations(String recipe) {
        Quantization run = quantization(TinyNetwork.random(1), 2, Scope.BODY);
        Recipes.byId(recipe).orElseThrow().apply(run);
        return run.pack().stream().map(QuantizationTest::grid).toList();
    }

    /** Files have the same bytes whatever the number of threads, for every recipe. */
    @ParameterizedTest
    @MethodSource("recipes")
    void threadsDoNotChangeTheResult(Recipe recipe, @TempDir Path folder) throws IOException {
        SplittableRandom random = new SplittableRandom(5);
        List<Tensor> images = List.of(TinyNetwork.image(random, 1, 40, 31), TinyNetwork.image(random, 2, 24, 40));
        List<byte[]> files = new ArrayList<>();
        for (int threads : new int[] {1, 3}) {
            try (Compute some = Compute.ofThreads(threads)) {
                TinyNetwork network = TinyNetwork.random(1);
                Quantization run = new Quantization(some, network, new Options(2, 2, Scope.BODY), images);
                recipe.withSteps(4).apply(run.supervise(TinyNetwork.teacher()));
                run.pack();
                Path file = folder.resolve(threads + ".safetensors");
                QuantizedModelFile.write(file, network, Map.of());
                files.add(Files.readAllBytes(file));
            }
        }
        assertThat(files.get(1)).isEqualTo(files.get(0));
    }

    @Test
    void refusesWhatCannotBeDone() {
        assertThatThrownBy(() -> new Options(0, 2, Scope.BODY)).hasMessageContaining("1 to 8 bits, not 0 and 2");
        assertThatThrownBy(() -> new Options(2, 9, Scope.BODY)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> quantization(new Conv2d(3, 3, 3), 2, Scope.BODY))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("no layers in scope body");
        Quantization run = quantization(TinyNetwork.random(1), 2, Scope.BODY);
        assertThatThrownBy(run::pack).isInstanceOf(IllegalStateException.class).hasMessageContaining("body.0.body.0");
        Quantization blind = new Quantization(compute, TinyNetwork.random(1), new Options(2, 2, Scope.BODY), List.of());
        assertThatThrownBy(() -> MINMAX.apply(blind)).hasMessageContaining("no calibration images");
    }
}
