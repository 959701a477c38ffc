// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.nn.Conv2d;
import dev.halftone.nn.Graph;
import dev.halftone.nn.Module;
import dev.halftone.nn.Plan;
import dev.halftone.nn.Value;
import dev.halftone.quant.format.UniformQuantizer;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class QuantizedConv2dTest {
    private static final long SEED = 0x5DEECE66DL;

    private final Compute compute = Compute.shared();
    private final SplittableRandom random = new SplittableRandom(SEED);

    private Tensor run(Module layer, Tensor x) {
        return layer.forward(Graph.eager(compute).constant(x)).tensor();
    }

    private Tensor uniform(int... dims) {
        Tensor t = Tensor.zeros(dims);
        for (int i = 0; i < t.size(); i++) {
            t.array()[i] = (float) random.nextDouble(-1.5, 1.5);
        }
        return t;
    }

    private UniformQuantizer quantizer(int bits, int grids) {
        List<UniformGrid> list = new ArrayList<>();
        for (int i = 0; i < grids; i++) {
            list.add(new UniformGrid(
                    bits, (float) random.nextDouble(-0.3, -0.05), (float) random.nextDouble(0.05, 0.3)));
        }
        return new UniformQuantizer(list);
    }

    /** One layer: the same codes on both sides, so only the order and rounding of float sums may differ. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 5, 6, 7, 8})
    void computesWhatTheSimulationComputes(int bits) {
        for (int kernel : new int[] {1, 3}) {
            for (int grids : new int[] {1, 5}) {
                for (boolean bias : new boolean[] {true, false}) {
                    Conv2d conv = new Conv2d(7, 5, kernel, kernel / 2, 1, bias).initialize(random, 1);
                    UniformQuantizer weight = quantizer(bits, grids);
                    UniformGrid activation = new UniformGrid(9 - bits, -1.25f, 1);
                    Tensor x = uniform(2, 6, 5, 7);
                    FakeQuantizedLayer fake =
                            new FakeQuantizedLayer(conv, weight, UniformQuantizer.perTensor(activation));
                    Tensor expected = run(fake, x);
                    Tensor actual = run(QuantizedConv2d.of(conv, weight, activation), x);
                    double scale = kernel * kernel * 7 * 1.25 * 0.3;
                    for (int i = 0; i < expected.size(); i++) {
                        assertThat((double) Math.abs(actual.array()[i] - expected.array()[i]))
                                .as("seed %x, kernel %d, %d grids, element %d", SEED, kernel, grids, i)
                                .isLessThanOrEqualTo(1e-6 * scale);
                    }
                    assertThat(run(fake.pack(), x).toArray())
                            .as("packed from the simulation")
                            .isEqualTo(actual.toArray());
                }
            }
        }
    }

    /** A ReLU that follows runs in the same kernel, with the same result. */
    @Test
    void plansFuseReLUs() {
        Conv2d conv = new Conv2d(7, 5, 3).initialize(random, 1);
        QuantizedConv2d layer = QuantizedConv2d.of(conv, quantizer(2, 5), new UniformGrid(2, 0, 1));
        Module network = new Module() {
            @Override
            public Value forward(Value x) {
                return layer.forward(x).relu();
            }
        };
        Tensor x = uniform(1, 6, 5, 7);
        Tensor separate = run(network, x);
        Tensor fused = Plan.compile(compute, network, x.shape()).run(x);
        assertThat(fused.toArray()).isEqualTo(separate.toArray());
        assertThat(separate.toArray()).contains(0f).doesNotContain(-0f);
    }

    @Test
    void knowsWhatItTakesInAFile() {
        Conv2d conv = new Conv2d(8, 16, 3).initialize(random, 1);
        QuantizedConv2d layer = QuantizedConv2d.of(conv, quantizer(2, 16), new UniformGrid(4, 0, 1));
        assertThat(layer.storedBits()).isEqualTo(2L * 9 * 8 * 16 + 64 * 16 + 64);
        assertThat(layer.codes().bits()).isEqualTo(2);
        assertThat(layer.kernel()).isEqualTo(3);
        assertThat(layer.parameters()).isEmpty();
    }

    @Test
    void refusesConvolutionsThatDoNotRunPacked() {
        UniformQuantizer weight = UniformQuantizer.perTensor(new UniformGrid(2, -1, 1));
        UniformGrid activation = new UniformGrid(2, 0, 1);
        for (Conv2d conv : List.of(
                new Conv2d(4, 4, 3, 1, 2, true), new Conv2d(4, 4, 3, 0, 1, true), new Conv2d(4, 4, 2, 1, 1, true))) {
            assertThatThrownBy(() -> QuantizedConv2d.of(conv, weight, activation))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("packed");
            assertThatThrownBy(() -> new FakeQuantizedLayer(conv, weight, UniformQuantizer.perTensor(activation)))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }
}
