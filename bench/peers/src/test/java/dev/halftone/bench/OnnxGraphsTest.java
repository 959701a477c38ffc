// SPDX-License-Identifier: Apache-2.0
package dev.halftone.bench;

import static org.assertj.core.api.Assertions.assertThat;

import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import dev.halftone.models.Edsr;
import dev.halftone.models.EdsrConfig;
import dev.halftone.models.SwinIr;
import dev.halftone.models.SwinIrConfig;
import dev.halftone.nn.Plan;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.ConvGeometry;
import dev.halftone.tensor.kernels.KernelProvider;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The peer computes what Halftone computes, so that their times are those of the same work. */
final class OnnxGraphsTest {
    private static final int BLOCKS = 2;
    private static final int FEATURES = 16;
    private static final int SIZE = 20;

    private final Peer peer = Peer.find().orElseThrow();

    private static float[] uniform(SplittableRandom random, int count, double from, double to) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextDouble(from, to);
        }
        return values;
    }

    /** Returns the largest difference, in parts of the largest value. */
    private static double error(float[] actual, float[] expected) {
        assertThat(actual).hasSameSizeAs(expected);
        double difference = 0;
        double largest = 0;
        for (int i = 0; i < expected.length; i++) {
            difference = Math.max(difference, Math.abs(actual[i] - expected[i]));
            largest = Math.max(largest, Math.abs(expected[i]));
        }
        return difference / largest;
    }

    @Test
    void edsrGivesTheSameImage() {
        Edsr network = new Edsr(new EdsrConfig(BLOCKS, FEATURES, 2, 1)).initialize(new SplittableRandom(7));
        Tensor x = Tensor.of(uniform(new SplittableRandom(1), SIZE * SIZE * 3, 0, 255), 1, SIZE, SIZE, 3);
        float[] own = Plan.compile(Compute.shared(), network, x.shape())
                .run(x)
                .permute(0, 3, 1, 2)
                .toArray();
        try (Peer.Model model = peer.load(OnnxGraphs.edsr(Workload.state(network), BLOCKS, FEATURES, SIZE, false), 1)) {
            model.input(x.permute(0, 3, 1, 2).toArray(), 1, 3, SIZE, SIZE);
            assertThat(error(model.output(), own)).isLessThan(1e-5);
        }
    }

    @Test
    void swinIrGivesTheSameImage() {
        SwinIr network = new SwinIr(SwinIrConfig.light(2)).initialize(new SplittableRandom(7));
        Tensor x = Tensor.of(uniform(new SplittableRandom(1), 24 * 24 * 3, 0, 255), 1, 24, 24, 3);
        float[] own = Plan.compile(Compute.shared(), network, x.shape())
                .run(x)
                .permute(0, 3, 1, 2)
                .toArray();
        try (Peer.Model model = peer.load(OnnxSwinIr.light(Workload.state(network), 24), 1)) {
            model.input(x.permute(0, 3, 1, 2).toArray(), 1, 3, 24, 24);
            assertThat(error(model.output(), own)).isLessThan(1e-5);
        }
    }

    @Test
    void convolutionsGiveTheSameMap() {
        SplittableRandom random = new SplittableRandom(3);
        Tensor weight = Tensor.of(uniform(random, 9 * FEATURES * FEATURES, -0.1, 0.1), 3, 3, FEATURES, FEATURES);
        float[] bias = uniform(random, FEATURES, -0.1, 0.1);
        Tensor x = Tensor.of(uniform(random, SIZE * SIZE * FEATURES, -1, 1), 1, SIZE, SIZE, FEATURES);
        ConvGeometry g = new ConvGeometry(1, SIZE, SIZE, FEATURES, FEATURES, 3, 1, 1);
        Tensor between = Tensor.zeros(1, SIZE, SIZE, FEATURES);
        Tensor y = Tensor.zeros(1, SIZE, SIZE, FEATURES);
        KernelProvider.kernels().conv().forward(g, x, weight, Tensor.of(bias, FEATURES), true, between, 0, g.rows());
        KernelProvider.kernels().conv().forward(g, between, weight, Tensor.of(bias, FEATURES), true, y, 0, g.rows());
        float[] oihw = weight.permute(3, 2, 0, 1).toArray();
        byte[] graph = OnnxGraphs.convolutions(new float[][] {oihw, oihw}, bias, FEATURES, SIZE, false);
        try (Peer.Model model = peer.load(graph, 1)) {
            model.input(x.permute(0, 3, 1, 2).toArray(), 1, FEATURES, SIZE, SIZE);
            assertThat(error(model.output(), y.permute(0, 3, 1, 2).toArray())).isLessThan(1e-5);
        }
    }

    @Test
    void linearGivesTheSameMatrix() {
        float[] weight = {1, 2, 3, 4, 5, 6};
        try (Peer.Model model = peer.load(OnnxGraphs.linear(weight, new float[] {10, 20, 30}, 2, 2, 3), 1)) {
            model.input(new float[] {1, 0, 0, 2}, 2, 2);
            assertThat(model.output()).containsExactly(11, 22, 33, 18, 30, 42);
        }
    }

    /** One quantized convolution, step by step: integer sums, then the one rounding to a code. */
    @Test
    void int8ConvolutionGivesTheCodesOfIntegerArithmetic() {
        SplittableRandom random = new SplittableRandom(5);
        float[] weight = uniform(random, FEATURES * FEATURES * 9, -0.1, 0.1);
        float[] bias = uniform(random, FEATURES, -0.1, 0.1);
        byte[] x = new byte[FEATURES * SIZE * SIZE];
        for (int i = 0; i < x.length; i++) {
            x[i] = (byte) random.nextInt(100);
        }
        byte[] graph = OnnxGraphs.convolutions(new float[][] {weight}, bias, FEATURES, SIZE, true);
        byte[] theirs;
        try (Peer.Model model = peer.load(graph, 1)) {
            model.input(x, 1, FEATURES, SIZE, SIZE);
            theirs = model.codes();
        }
        int zeros = 0;
        for (int o = 0; o < FEATURES; o++) {
            float scale = OnnxGraphs.weightScale(weight, o, 9 * FEATURES);
            int biasCode = (int) Math.rint(bias[o] / (scale * OnnxGraphs.STEP));
            for (int at = 0; at < SIZE * SIZE; at++) {
                int sum = biasCode;
                for (int i = 0; i < FEATURES; i++) {
                    for (int tap = 0; tap < 9; tap++) {
                        int row = at / SIZE + tap / 3 - 1;
                        int column = at % SIZE + tap % 3 - 1;
                        if (row >= 0 && row < SIZE && column >= 0 && column < SIZE) {
                            int w = (int) Math.rint(weight[(o * FEATURES + i) * 9 + tap] / scale);
                            sum += w * (x[(i * SIZE + row) * SIZE + column] & 255);
                        }
                    }
                }
                double exact = Math.clamp((double) scale * sum, 0, 255);
                int code = theirs[o * SIZE * SIZE + at] & 255;
                // Half a step, and what float arithmetic loses of a number up to 255.
                assertThat(Math.abs(code - exact)).isLessThan(0.5 + 1e-4);
                zeros += code == 0 ? 1 : 0;
            }
        }
        assertThat(zeros).isBetween(theirs.length / 10, theirs.length * 9 / 10);
    }

    /**
     * ONNX Runtime computes a quantized graph in float, without a word, where it does not know its form; then it would be a slow
     * peer. What it made of the graph tells.
     */
    @Test
    void int8GraphsRunOnIntegers(@TempDir Path folder) throws OrtException, IOException {
        SplittableRandom random = new SplittableRandom(5);
        float[] weight = uniform(random, FEATURES * FEATURES * 9, -0.1, 0.1);
        byte[] chain = OnnxGraphs.convolutions(
                new float[][] {weight, weight, weight}, new float[FEATURES], FEATURES, SIZE, true);
        Edsr network = new Edsr(new EdsrConfig(BLOCKS, FEATURES, 2, 1)).initialize(new SplittableRandom(7));
        byte[] edsr = OnnxGraphs.edsr(Workload.state(network), BLOCKS, FEATURES, SIZE, true);

        String optimized = optimized(folder.resolve("chain.onnx"), chain);
        assertThat(nodes(optimized, "QLinearConv")).isEqualTo(3);
        assertThat(nodes(optimized, "Conv")).isZero();

        optimized = optimized(folder.resolve("edsr.onnx"), edsr);
        // The body's 2 x 2 + 1, the upsampler's 1, the tail's 1; in float the head and the two mean shifts.
        assertThat(nodes(optimized, "QLinearConv")).isEqualTo(2 * BLOCKS + 3);
        assertThat(nodes(optimized, "Conv") + nodes(optimized, "FusedConv")).isEqualTo(3);
        assertThat(nodes(optimized, "QLinearAdd")).isEqualTo(BLOCKS + 1);
    }

    /** Returns the model that a session makes of a graph, each byte a character. */
    private static String optimized(Path file, byte[] graph) throws OrtException, IOException {
        OrtEnvironment environment = OrtEnvironment.getEnvironment();
        try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
            options.setOptimizationLevel(OrtSession.SessionOptions.OptLevel.ALL_OPT);
            options.setOptimizedModelFilePath(file.toString());
            environment.createSession(graph, options).close();
        }
        return Files.readString(file, StandardCharsets.ISO_8859_1);
    }

    /** Counts the nodes of an operator: field 4 of a {@code NodeProto}. */
    private static int nodes(String model, String operator) {
        String field = "\"" + (char) operator.length() + operator;
        int count = 0;
        for (int at = model.indexOf(field); at >= 0; at = model.indexOf(field, at + 1)) {
            count++;
        }
        return count;
    }
}
