// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.models.image.Bicubic;
import dev.halftone.nn.Graph;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SwinIrTest {
    private static final int SIZE = 16;

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 4})
    void beginsNearAnInterpolation(int scale) {
        SwinIr network = new SwinIr(SwinIrConfig.light(scale)).initialize(new SplittableRandom(scale));
        Tensor image = Tensor.zeros(SIZE, SIZE, 3);
        for (int y = 0; y < SIZE; y++) {
            for (int x = 0; x < SIZE; x++) {
                for (int c = 0; c < 3; c++) {
                    image.set((float) (128 + 60 * Math.sin(0.4 * x + c) * Math.cos(0.3 * y)), y, x, c);
                }
            }
        }
        try (Compute compute = Compute.ofThreads(1)) {
            Graph graph = Graph.eager(compute);
            Tensor output = network.forward(graph.constant(image.reshape(Shape.of(1, SIZE, SIZE, 3))))
                    .tensor();
            Tensor expected = Bicubic.resize(compute, image, scale);
            double squares = 0;
            int n = 0;
            for (int y = 2 * scale; y < (SIZE - 2) * scale; y++) {
                for (int x = 2 * scale; x < (SIZE - 2) * scale; x++) {
                    for (int c = 0; c < 3; c++, n++) {
                        squares += Math.pow(output.get(0, y, x, c) - expected.get(y, x, c), 2);
                    }
                }
            }
            // The body adds a little, and the interpolation has three taps only.
            assertThat(Math.sqrt(squares / n)).isLessThan(3);
        }
    }

    /** A network with fewer features than the pixels of a result take begins with random weights. */
    @Test
    void narrowNetworksBeginSomehow() {
        SwinIrConfig narrow =
                new SwinIrConfig(3, 4, List.of(1), List.of(2), 8, 4, 2, SwinIrConfig.Head.DIRECT, false, 1);
        SwinIr network = new SwinIr(narrow).initialize(new SplittableRandom(1));
        assertThat(network.parameters().values())
                .allSatisfy(p -> assertThat(p.value().toArray()).doesNotContain(Float.NaN));
    }

    @Test
    void layersOfManyInputsLearnMoreSlowly() {
        SwinIr network = new SwinIr(SwinIrConfig.light(2));
        String block = "layers.1.residual_group.blocks.2.";
        assertThat(network.learningRateFactor("conv_first.weight")).isEqualTo(1);
        assertThat(network.learningRateFactor(block + "mlp.fc1.weight")).isEqualTo(1);
        assertThat(network.learningRateFactor(block + "mlp.fc2.bias")).isCloseTo(64.0 / 120, within(1e-12));
        assertThat(network.learningRateFactor("conv_after_body.weight")).isCloseTo(64.0 / 540, within(1e-12));
        assertThat(network.learningRateFactor("upsample.0.bias")).isCloseTo(64.0 / 540, within(1e-12));
        assertThat(network.learningRateFactor(block + "attn.relative_position_bias_table"))
                .isEqualTo(1);
        assertThat(network.learningRateFactor(block + "norm1.weight")).isEqualTo(0.25);
    }
}
