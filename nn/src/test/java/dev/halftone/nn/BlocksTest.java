// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import static org.assertj.core.api.Assertions.assertThat;

import dev.halftone.nn.op.Windows;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.InvalidFileException;
import dev.halftone.tensor.io.StoredTensor;
import dev.halftone.testing.Golden;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The blocks of EDSR and SwinIR against the official modules. */
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

    @ParameterizedTest
    @ValueSource(strings = {"stb_shift0", "stb_shift2"})
    void swinBlockEqualsTheReference(String name) throws InvalidFileException {
        int channels = GOLDEN.integer(name, "dim");
        int height = GOLDEN.integer(name, "H");
        int width = GOLDEN.integer(name, "W");
        Module block = new SwinBlock(
                channels,
                GOLDEN.integer(name, "heads"),
                GOLDEN.integer(name, "window"),
                GOLDEN.integer(name, "shift"),
                GOLDEN.integer(name, "mlp_ratio") * channels);
        UnaryOperator<Tensor> map = tokens -> tokens.reshape(tokens.dim(0), height, width, channels);
        UnaryOperator<Tensor> tokens = m -> m.reshape(m.dim(0), height * width, channels);
        check(name, block, map, tokens, 13);
    }

    @Test
    void mlpEqualsTheReference() throws InvalidFileException {
        Module mlp = new Mlp(GOLDEN.integer("mlp", "dim"), GOLDEN.integer("mlp", "hidden"));
        check("mlp", mlp, UnaryOperator.identity(), UnaryOperator.identity(), 4);
    }

    @Test
    void windowAttentionEqualsTheReference() throws InvalidFileException {
        String name = "window_attention";
        int window = GOLDEN.integer(name, "window");
        int channels = GOLDEN.integer(name, "dim");
        Module attention = new WindowAttention(channels, GOLDEN.integer(name, "heads"), window, 0);
        UnaryOperator<Tensor> map = windows -> windows.reshape(windows.dim(0), window, window, channels);
        UnaryOperator<Tensor> windows = m -> m.reshape(m.dim(0), window * window, channels);
        check(name, attention, map, windows, 5);
    }

    /** The reference is given windows of a map that was rolled by half a window, and the mask for it. */
    @Test
    void shiftedWindowAttentionEqualsTheReference() throws InvalidFileException {
        String name = "window_attention_masked";
        int window = GOLDEN.integer(name, "window");
        int channels = GOLDEN.integer(name, "dim");
        int shift = window / 2;
        int height = 2 * window;
        int width = 3 * window;
        GOLDEN.assertClose(name + "/mask", Windows.shiftMask(height, width, window, shift), 0);
        Module attention = new WindowAttention(channels, GOLDEN.integer(name, "heads"), window, shift);
        UnaryOperator<Tensor> map = windows -> Graph.eager(Compute.shared())
                .constant(windows.reshape(windows.dim(0), window, window, channels))
                .windowReverse(window, height, width)
                .roll(shift, shift)
                .tensor();
        UnaryOperator<Tensor> windows = m -> Graph.eager(Compute.shared())
                .constant(m)
                .roll(-shift, -shift)
                .windowPartition(window)
                .tensor()
                .reshape(12, window * window, channels);
        check(name, attention, map, windows, 5);
    }

    private static void check(
            String name, Module module, UnaryOperator<Tensor> toOurs, UnaryOperator<Tensor> toReference, int trained)
            throws InvalidFileException {
        load(module, name);
        Graph graph = Graph.recording(Compute.shared());
        Value x = graph.variable(toOurs.apply(GOLDEN.tensor(name + "/x")));
        Value y = module.forward(x);
        GOLDEN.assertClose(name + "/out", toReference.apply(y.tensor()));
        Gradients gradients = graph.backward(y, toOurs.apply(GOLDEN.tensor(name + "/grad_out")));
        GOLDEN.assertClose(name + "/grad.x", toReference.apply(gradients.of(x)));
        Map<String, Parameter> parameters = module.parameters();
        assertThat(parameters).hasSize(trained);
        parameters.forEach(
                (key, p) -> GOLDEN.assertClose(name + "/grad/" + key, StateDict.toStored(p.layout(), gradients.of(p))));
    }

    private static void load(Module module, String name) throws InvalidFileException {
        String prefix = name + "/param/";
        Map<String, StoredTensor> tensors = new LinkedHashMap<>();
        for (String key : GOLDEN.keys(name)) {
            if (key.startsWith(prefix) && !key.endsWith("_index") && !key.endsWith("_mask")) {
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
