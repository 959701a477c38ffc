// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import static org.assertj.core.api.Assertions.assertThat;

import dev.halftone.nn.Graph;
import dev.halftone.quant.Quantization;
import dev.halftone.quant.Scope;
import dev.halftone.quant.pass.RotateTrunks;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** EDSR's residual stream, as it tells it, can be rotated without a change of the output. */
final class EdsrTrunkTest {
    @ParameterizedTest
    @CsvSource({"2, 16, 1", "3, 12, 0.1", "4, 20, 1"})
    void rotatedEdsrComputesWhatItDid(int scale, int features, float residualScale) {
        SplittableRandom random = new SplittableRandom(8);
        Edsr network = new Edsr(new EdsrConfig(3, features, scale, residualScale)).initialize(random);
        Tensor image = Tensor.zeros(1, 10, 9, 3);
        for (int i = 0; i < image.size(); i++) {
            image.array()[i] = random.nextInt(256);
        }
        Compute compute = Compute.shared();
        float[] before =
                network.forward(Graph.eager(compute).constant(image)).tensor().toArray();
        Quantization run =
                new Quantization(compute, network, new Quantization.Options(2, 2, Scope.BODY), List.of(image));
        new RotateTrunks(1).apply(run);
        float[] after =
                network.forward(Graph.eager(compute).constant(image)).tensor().toArray();
        double largest = 0;
        for (float v : before) {
            largest = Math.max(largest, Math.abs(v));
        }
        for (int i = 0; i < before.length; i++) {
            assertThat(Math.abs((double) before[i] - after[i])).isLessThan(1e-5 * largest);
        }
    }
}
