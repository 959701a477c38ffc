// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.halftone.nn.Gradients;
import dev.halftone.nn.Graph;
import dev.halftone.nn.Parameter;
import dev.halftone.nn.StateDict;
import dev.halftone.nn.Value;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.WeightFile;
import dev.halftone.testing.Golden;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** EDSR against the reference implementation: every intermediate feature, the output, the loss and all gradients. */
class EdsrGoldenTest {
    private static final Path GOLDEN = Path.of(System.getProperty("halftone.root"), "test-data", "golden");

    @ParameterizedTest
    @CsvSource({"2, a", "2, b", "3, a", "3, b", "4, a", "4, b"})
    void matchesTheReference(int scale, String input) throws Exception {
        Golden golden = Golden.open("net_edsr_tiny_x" + scale + ".io");
        double tolerance = golden.tolerance(input);
        Edsr edsr =
                (Edsr) Zoo.build(WeightFile.read(GOLDEN.resolve("net_edsr_tiny_x" + scale + ".weights.safetensors")))
                        .module();
        assertThat(edsr.config()).isEqualTo(new EdsrConfig(2, 8, scale, 1));
        Map<String, Parameter> parameters = edsr.parameters();

        Map<String, Recorder> recorders = Recorder.wrap(edsr);
        Graph graph = Graph.recording(Compute.shared());
        Value x = graph.variable(nhwc(golden.tensor(input + "/x")));
        Value y = edsr.forward(x);

        recorders.forEach((name, recorder) -> {
            String key = input + "/feat/" + name;
            if (golden.has(key)) {
                assertClose(key, nchw(recorder.seen()), golden.tensor(key), tolerance);
            }
        });
        assertClose("y", nchw(y.tensor()), golden.tensor(input + "/y"), tolerance);
        Value loss = y.l1Loss(graph.constant(nhwc(golden.tensor(input + "/target"))));
        assertClose("loss", loss.tensor(), golden.tensor(input + "/loss"), tolerance);

        Gradients gradients = graph.backward(loss);
        assertClose("grad_x", nchw(gradients.of(x)), golden.tensor(input + "/grad_x"), tolerance);
        parameters.forEach((name, parameter) -> {
            if (parameter.trainable()) {
                String key = input + "/grad/" + name;
                assertClose(
                        key,
                        StateDict.toStored(parameter.layout(), gradients.of(parameter)),
                        golden.tensor(key),
                        tolerance);
            }
        });
    }

    @Test
    void baselineMatchesTheReference() throws Exception {
        String data = System.getenv("HALFTONE_DATA");
        assumeTrue(
                data != null,
                "HALFTONE_DATA is not set: the 16 x 64 network's weights are too large to be in the repository");
        Path folder = Path.of(data, "fixtures");
        Path weights = folder.resolve("net_edsr_baseline_x2.weights.safetensors");
        assumeTrue(Files.exists(weights), weights + " is not there");
        SuperResolutionNetwork edsr = Zoo.build(WeightFile.read(weights));
        Golden golden = Golden.open(folder.resolve("net_edsr_baseline_x2.io.safetensors"));
        Graph graph = Graph.eager(Compute.shared());
        Value y = edsr.module().forward(graph.constant(nhwc(golden.tensor("a/x"))));
        assertClose("y", nchw(y.tensor()), golden.tensor("a/y"), golden.tolerance("a"));
    }

    private static Tensor nhwc(Tensor nchw) {
        return nchw.permute(0, 2, 3, 1);
    }

    private static Tensor nchw(Tensor nhwc) {
        return nhwc.permute(0, 3, 1, 2);
    }

    /** {@code |actual - expected| <= tolerance * max|expected|}, as the golden numbers state it. */
    private static void assertClose(String stage, Tensor actual, Tensor expected, double tolerance) {
        assertThat(actual.shape()).as(stage).isEqualTo(expected.shape());
        float[] a = actual.toArray();
        float[] e = expected.toArray();
        double max = 0;
        for (float v : e) {
            max = Math.max(max, Math.abs(v));
        }
        for (int i = 0; i < e.length; i++) {
            double error = Math.abs((double) a[i] - e[i]);
            assertThat(error)
                    .as("%s[%d]: %s instead of %s", stage, i, a[i], e[i])
                    .isLessThanOrEqualTo(tolerance * max);
        }
    }
}
