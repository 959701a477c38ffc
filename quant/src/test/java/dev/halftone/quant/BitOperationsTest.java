// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import static org.assertj.core.api.Assertions.assertThat;

import dev.halftone.nn.MultiplyAdds;
import dev.halftone.quant.Quantization.LayerReport;
import dev.halftone.quant.Quantization.Options;
import dev.halftone.quant.recipe.Recipes;
import dev.halftone.tensor.Compute;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

final class BitOperationsTest {
    private final Compute compute = Compute.shared();

    /** Four output pixels for one of the input; the last convolution works on the large map. */
    @Test
    void countsTheNetworkByHand() {
        Map<String, Double> counts = MultiplyAdds.perPixel(compute, TinyNetwork.random(1));
        assertThat(counts)
                .containsEntry("head", 9 * 3 * 8 / 4.0)
                .containsEntry("body.0.body.0", 9 * 8 * 8 / 4.0)
                .containsEntry("up", 9 * 8 * 12 / 4.0)
                .containsEntry("tail", 9.0)
                .hasSize(8);
    }

    @Test
    void leavesTheNetworkAsItWas() {
        TinyNetwork network = TinyNetwork.random(1);
        List<Object> before = network.descendants().values().stream()
                .map(slot -> (Object) slot.module())
                .toList();
        MultiplyAdds.perPixel(compute, network);
        assertThat(network.descendants().values().stream()
                        .map(slot -> (Object) slot.module())
                        .toList())
                .isEqualTo(before);
    }

    @Test
    void multipliesByTheBitsOfBothFactors() {
        TinyNetwork network = TinyNetwork.random(1);
        Quantization run = new Quantization(compute, network, new Options(2, 3, Scope.BODY), TinyNetwork.images(7));
        Recipes.byId("minmax").orElseThrow().apply(run);
        List<LayerReport> reports = run.pack();
        BitOperations operations = BitOperations.of(compute, TinyNetwork.random(1), reports);
        double body = 4 * 9 * 8 * 8 / 4.0;
        double rest = 54 + 144 + 216 + 9;
        assertThat(operations.multiplyAdds()).isEqualTo(body + rest);
        assertThat(operations.fp32()).isEqualTo(1024 * (body + rest));
        assertThat(operations.quantized()).isEqualTo(body * 2 * 3 + rest * 1024);
        assertThat(operations.layers()).hasSize(4).containsEntry("body.1.body.2", 144.0);
    }
}
