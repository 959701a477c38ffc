// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.nn.Graph;
import dev.halftone.nn.Module;
import dev.halftone.nn.Plan;
import dev.halftone.nn.Planner;
import dev.halftone.quant.Quantization.LayerReport;
import dev.halftone.quant.Quantization.Options;
import dev.halftone.quant.format.FullPrecision;
import dev.halftone.quant.recipe.Recipes;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
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

/** Convolutions in integers alone, by the recipe that makes them. */
final class IntegerConv2dTest {
    private final Compute compute = Compute.shared();
    private final SplittableRandom random = new SplittableRandom(3);

    @TempDir
    private Path folder = Path.of("");

    private Quantization quantized(TinyNetwork network, int bits) {
        Quantization run =
                new Quantization(compute, network, new Options(bits, bits, Scope.BODY), TinyNetwork.images(7));
        Recipes.byId("q-asr-style").orElseThrow().apply(run);
        return run;
    }

    private Tensor run(Module layer, Tensor x) {
        return layer.forward(Graph.eager(compute).constant(x)).tensor();
    }

    private Tensor draw(double low, double high) {
        Tensor x = Tensor.zeros(2, 6, 7, 8);
        for (int i = 0; i < x.size(); i++) {
            x.array()[i] = (float) random.nextDouble(low, high);
        }
        return x;
    }

    /** Every width; a step is that of the next layer's codes, or of the sums where fp32 follows. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 5, 6, 7, 8})
    void computesTheFakeQuantizedConvolutionWithinOneStep(int bits) {
        Quantization run = quantized(TinyNetwork.random(1), bits);
        for (SiteState site : run.sites()) {
            IntegerConv2d integers = (IntegerConv2d) site.packed();
            boolean first = site.site().name().endsWith("body.0");
            Tensor x = first ? draw(-1, 1) : draw(0, 0.5);
            Tensor fake = run(site.fake(), x);
            Tensor y = run(integers, x);
            UniformGrid output = integers.output();
            assertThat(output != null).as(site.site().name()).isEqualTo(first);
            UniformGrid in = QuantizableLayer.grid(integers.input());
            int flips = 0;
            for (int i = 0; i < y.size(); i++) {
                double expected = fake.toArray()[i];
                if (output == null) {
                    // The bias is rounded to a step of the sums, in the middle half a step.
                    float weightStep =
                            site.weights().getFirst().quantizer().grid(i % 8).scale();
                    assertThat((double) y.toArray()[i])
                            .isCloseTo(expected, within(0.51 * in.scale() * weightStep + 1e-5));
                } else {
                    double level = output.level(output.code((float) expected));
                    double off = Math.abs(y.toArray()[i] - level);
                    assertThat(off).isLessThan(1.001 * output.scale());
                    flips += off > output.scale() / 2 ? 1 : 0;
                }
            }
            assertThat(flips).as("codes off by one").isLessThan(y.size() / 20);
        }
    }

    /** Plans hand codes from one convolution to the next; what they compute is what the layers compute one by one, in bands too. */
    @ParameterizedTest
    @ValueSource(ints = {1, 4, 8})
    void plansComputeTheSameBits(int bits) {
        TinyNetwork network = TinyNetwork.random(1);
        quantized(network, bits).pack();
        Tensor image = TinyNetwork.image(random, 1, 33, 10);
        float[] expected = network.run(compute, image).toArray();
        Plan whole = Plan.compile(compute, network, Shape.of(1, 33, 10, 3));
        assertThat(whole.run(image).toArray()).isEqualTo(expected);
        Plan bands = new Planner(compute, network).plan(Shape.of(1, 33, 10, 3), 40_000);
        assertThat(bands.run(image).toArray()).isEqualTo(expected);
        try (Compute three = Compute.ofThreads(3)) {
            assertThat(Plan.compile(three, network, Shape.of(1, 33, 10, 3))
                            .run(image)
                            .toArray())
                    .isEqualTo(expected);
        }
    }

    @Test
    void reportsSay() {
        List<LayerReport> reports = quantized(TinyNetwork.random(1), 8).pack();
        assertThat(reports.stream().map(r -> r.measures().get("integer"))).containsExactly(8.0, 32.0, 8.0, 32.0);
        assertThat(reports).allMatch(LayerReport::packed);
    }

    @Test
    void aNetworkComesBackToTheBit() throws IOException {
        TinyNetwork network = TinyNetwork.random(1);
        quantized(network, 8).pack();
        Path file = folder.resolve("a");
        QuantizedModelFile.write(file, network, Map.of());
        WeightFile read = WeightFile.read(file);
        assertThat(read.metadata().get("quantized_layers"))
                .isEqualTo("body.0.body.0:8:8:integer8,body.0.body.2:8:8:integer,"
                        + "body.1.body.0:8:8:integer8,body.1.body.2:8:8:integer");
        TinyNetwork back = new TinyNetwork();
        QuantizedModelFile.load(read, back);
        Tensor image = TinyNetwork.images(3).getFirst();
        assertThat(back.run(compute, image).toArray())
                .isEqualTo(network.run(compute, image).toArray());
        Path again = folder.resolve("b");
        QuantizedModelFile.write(again, back, Map.of());
        assertThat(again).hasSameBinaryContentAs(file);

        Map<String, StoredTensor> tensors = new LinkedHashMap<>(read.tensors());
        tensors.remove("body.0.body.0.output_lower");
        refuse(read.metadata(), tensors, "body.0.body.0.output_lower is missing");
        // Without a level at 0.
        tensors = new LinkedHashMap<>(read.tensors());
        tensors.put(
                "body.0.body.2.activation_lower",
                StoredTensor.of("body.0.body.2.activation_lower", Tensor.of(new float[] {-0.00123f}, 1)));
        refuse(read.metadata(), tensors, "no level at 0");
        Map<String, String> metadata = new LinkedHashMap<>(read.metadata());
        metadata.put(
                "quantized_layers",
                metadata.getOrDefault("quantized_layers", "").replace("integer8", "integer9"));
        refuse(metadata, read.tensors(), "body.0.body.0");
    }

    private void refuse(Map<String, String> metadata, Map<String, StoredTensor> tensors, String message)
            throws IOException {
        Path file = folder.resolve("broken");
        Safetensors.write(file, metadata, tensors.values());
        WeightFile read = WeightFile.read(file);
        assertThatThrownBy(() -> QuantizedModelFile.load(read, TinyNetwork.random(2)))
                .isInstanceOf(InvalidFileException.class)
                .hasMessageContaining(message);
    }

    @Test
    void isAboutQuantizedInputs() {
        Quantization run = new Quantization(
                compute, TinyNetwork.random(1), new Options(8, FullPrecision.BITS, Scope.BODY), TinyNetwork.images(7));
        assertThatThrownBy(() -> Recipes.byId("q-asr-style").orElseThrow().apply(run))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("integer-only");
    }
}
