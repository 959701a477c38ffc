// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import static org.assertj.core.api.Assertions.assertThat;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.InvalidFileException;
import dev.halftone.tensor.io.StoredTensor;
import dev.halftone.testing.Golden;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The blocks of EDSR against the official modules. */
class BlocksTest {
    private static final Golden GOLDEN = Golden.open("blocks");

    static List<String> residualBlocks() {
        return GOLDEN.cases().stream()
                .filter(c -> c.startsWith("edsr_resblock"))
                .toList();
    }

    @Test
    void noCaseIsMissing() {
        assertThat(residualBlocks()).hasSize(2);
    }

    @ParameterizedTest
    @MethodSource("residualBlocks")
    void residualBlockEqualsTheReference(String name) throws InvalidFileException {
        int features = GOLDEN.integer(name, "n_feats");
        Module block = new ResidualBlock(new Conv2d(features, features, 3), new Conv2d(features, features, 3), (float)
                GOLDEN.number(name, "res_scale"));
        load(block, name);
        Graph graph = Graph.recording(Compute.shared());
        Value x = graph.variable(GOLDEN.tensor(name + "/x").permute(0, 2, 3, 1));
        Value y = block.forward(x);
        GOLDEN.assertClose(name + "/out", y.tensor().permute(0, 3, 1, 2));
        Gradients gradients =
                graph.backward(y, GOLDEN.tensor(name + "/grad_out").permute(0, 2, 3, 1));
        GOLDEN.assertClose(name + "/grad.x", gradients.of(x).permute(0, 3, 1, 2));
        Map<String, Parameter> parameters = block.parameters();
        assertThat(parameters).hasSize(4);
        parameters.forEach(
                (key, p) -> GOLDEN.assertClose(name + "/grad/" + key, StateDict.toStored(p.layout(), gradients.of(p))));
    }

    private static void load(Module module, String name) throws InvalidFileException {
        String prefix = name + "/param/";
        Map<String, StoredTensor> tensors = new LinkedHashMap<>();
        for (String key : GOLDEN.keys(name)) {
            if (key.startsWith(prefix)) {
                tensors.put(key.substring(prefix.length()), GOLDEN.stored(key));
            }
        }
        StateDict.load(module, tensors, Path.of("blocks.safetensors"));
    }

    /** The official MeanShift is {@code x - mean * 255} for standard deviation 1. */
    @Test
    void meanShiftAddsToEachChannelAndIsNotTrained() {
        MeanShift shift = new MeanShift(-114.444f, -111.4605f, -103.02f);
        Tensor x = Tensor.of(new float[] {0, 1, 2, 255, 128, 64}, 1, 2, 1, 3);
        Tensor y = shift.forward(Graph.eager(Compute.shared()).constant(x)).tensor();
        assertThat(y.toArray())
                .containsExactly(-114.444f, 1 - 111.4605f, 2 - 103.02f, 255 - 114.444f, 128 - 111.4605f, 64 - 103.02f);
        assertThat(shift.parameters().keySet()).containsExactly("weight", "bias");
        assertThat(shift.parameters().values()).noneMatch(Parameter::trainable);
    }
}
