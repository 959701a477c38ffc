// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.halftone.nn.Gradients;
import dev.halftone.nn.Graph;
import dev.halftone.nn.Parameter;
import dev.halftone.nn.Plan;
import dev.halftone.nn.StateDict;
import dev.halftone.nn.Value;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.WeightFile;
import dev.halftone.testing.Golden;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * SwinIR against the official implementation: features, the output, the loss and all gradients. The reference works on values up to 1,
 * this network on values up to 255.
 */
class SwinIrGoldenTest {
    private static final float MAX_PIXEL = 255;

    /** Adds what all tiny networks share. */
    private static SwinIrConfig tiny(
            int channels, int window, int scale, SwinIrConfig.Head head, boolean three, float range) {
        return new SwinIrConfig(channels, 12, List.of(2, 2), List.of(2, 2), 24, window, scale, head, three, range);
    }

    private static SwinIr read(Path folder, String name) throws Exception {
        return (SwinIr) Zoo.build(WeightFile.read(folder.resolve("net_swinir_" + name + ".weights.safetensors")));
    }

    @ParameterizedTest
    @CsvSource({
        "tiny_x2, 3, 4, 2, DIRECT, false, 1",
        "tiny_x3, 3, 4, 3, DIRECT, false, 1",
        "tiny_x4, 3, 4, 4, DIRECT, false, 1",
        "tiny_classical_x2, 3, 4, 2, SHUFFLE, false, 1",
        "tiny_real_x4_3conv, 3, 4, 4, NEAREST, true, 1",
        "tiny_denoise, 3, 4, 1, RESTORE, false, 1",
        "tiny_gray_jpeg_255, 1, 7, 1, RESTORE, false, 255"
    })
    void readsTheArchitectureOffTheKeys(
            String name, int channels, int window, int scale, SwinIrConfig.Head head, boolean three, float range)
            throws Exception {
        SwinIr network = read(Golden.folder(), name);
        assertThat(network.config()).isEqualTo(tiny(channels, window, scale, head, three, range));
        assertThat(SwinIrConfig.parse(network.metadata(), Path.of("x"))).isEqualTo(network.config());
    }

    @ParameterizedTest
    @CsvSource({
        "tiny_x2, 8x12",
        "tiny_x2, 16x16_bufmask",
        "tiny_x2, 10x7_padded",
        "tiny_x3, 8x8",
        "tiny_x3, 9x6_padded",
        "tiny_x4, 4x8",
        "tiny_x4, 7x5_padded",
        "tiny_classical_x2, 8x8",
        "tiny_classical_x2, 6x9_padded",
        "tiny_real_x4_3conv, 6x5_padded",
        "tiny_denoise, 8x8",
        "tiny_denoise, 7x10_padded",
        "tiny_gray_jpeg_255, 14x9_padded"
    })
    void matchesTheReference(String name, String input) throws Exception {
        check(Golden.open("net_swinir_" + name + ".io"), read(Golden.folder(), name), input);
    }

    @ParameterizedTest
    @ValueSource(strings = {"24x16", "21x19_padded", "8x16"})
    void lightMatchesTheReference(String input) throws Exception {
        String data = System.getenv("HALFTONE_DATA");
        assumeTrue(
                data != null, "HALFTONE_DATA is not set: the network's weights are too large to be in the repository");
        Path folder = Path.of(data, "fixtures");
        assumeTrue(Files.isDirectory(folder), folder + " is not there");
        SwinIr network = read(folder, "light_x2");
        assertThat(network.config()).isEqualTo(SwinIrConfig.light(2));
        assertThat(network.parameters().values().stream()
                        .mapToLong(p -> p.value().size())
                        .sum())
                .isEqualTo(910_152);
        check(Golden.open(folder.resolve("net_swinir_light_x2.io.safetensors")), network, input);
    }

    private static void check(Golden golden, SwinIr network, String input) {
        double tolerance = golden.tolerance(input);
        Tensor pixels = nhwc(golden.tensor(input + "/x"));
        Tensor scaled = pixels.copy();
        for (int i = 0; i < scaled.size(); i++) {
            scaled.array()[i] *= MAX_PIXEL;
        }
        Plan plan = Plan.compile(Compute.shared(), network, scaled.shape());
        Tensor planned = plan.run(scaled).copy();

        for (int i = 0; i < planned.size(); i++) {
            planned.array()[i] /= MAX_PIXEL;
        }
        golden.assertClose(input + "/y", nchw(planned), tolerance);

        // Branches as one op each, and, once every module is wrapped, layer by layer.
        Map<String, Parameter> parameters = network.parameters();
        Tensor fused = checkGradients(golden, input, network, parameters);
        Map<String, Recorder> recorders = Recorder.wrap(network);
        Tensor layered = checkGradients(golden, input, network, parameters);
        assertThat(fused.toArray()).isEqualTo(layered.toArray());
        recorders.forEach((name, recorder) -> {
            String key = input + "/feat/" + name;
            if (golden.has(key)) {
                Shape shape = golden.tensor(key).shape();
                golden.assertClose(key, inLayoutOf(shape, recorder.seen(), network, name), tolerance);
            }
        });
    }

    /** Returns the output. */
    private static Tensor checkGradients(
            Golden golden, String input, SwinIr network, Map<String, Parameter> parameters) {
        double tolerance = golden.tolerance(input);
        Graph graph = Graph.recording(Compute.shared());
        Value x = graph.variable(nhwc(golden.tensor(input + "/x")));
        Value y = network.forward(x.scale(MAX_PIXEL)).scale(1 / MAX_PIXEL);
        golden.assertClose(input + "/y", nchw(y.tensor()), tolerance);
        if (!golden.has(input + "/target")) {
            return y.tensor();
        }
        Value loss = y.l1Loss(graph.constant(nhwc(golden.tensor(input + "/target"))));
        golden.assertClose(input + "/loss", loss.tensor(), tolerance);
        Gradients gradients = graph.backward(loss);
        golden.assertClose(input + "/grad_x", nchw(gradients.of(x)), tolerance);
        parameters.forEach((name, parameter) -> {
            String key = input + "/grad/" + name;
            if (golden.has(key)) {
                golden.assertClose(key, StateDict.toStored(parameter.layout(), gradients.of(parameter)), tolerance);
            }
        });
        return y.tensor();
    }

    /** The reference has tokens {@code [N, H W, C]}, or, inside attention, windows of the rolled map. */
    private static Tensor inLayoutOf(Shape shape, Tensor map, SwinIr network, String name) {
        if (shape.rank() == 4) {
            return nchw(map);
        }
        int window = network.config().window();
        if (!name.contains(".attn") || shape.dim(1) != window * window) {
            return map.reshape(shape);
        }
        int shift = name.contains("blocks.1.") ? window / 2 : 0;
        Graph graph = Graph.eager(Compute.shared());
        return graph.constant(map)
                .roll(-shift, -shift)
                .windowPartition(window)
                .tensor()
                .reshape(shape);
    }

    private static Tensor nhwc(Tensor nchw) {
        return nchw.permute(0, 2, 3, 1);
    }

    private static Tensor nchw(Tensor nhwc) {
        return nhwc.permute(0, 3, 1, 2);
    }
}
