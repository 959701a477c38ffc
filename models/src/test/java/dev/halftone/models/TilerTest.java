// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import static org.assertj.core.api.Assertions.assertThat;

import dev.halftone.nn.Graph;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TilerTest {
    @ParameterizedTest
    @CsvSource({
        "2, 37, 53, 8",
        "2, 64, 64, 16",
        "3, 25, 71, 10",
        "4, 40, 33, 7",
        "2, 9, 5, 16",
        "2, 1, 90, 20",
        "4, 31, 1, 5"
    })
    void tiledEqualsUntiledBitForBit(int scale, int height, int width, int tile) {
        SplittableRandom random = new SplittableRandom(scale * 1000L + height);
        Edsr edsr = new Edsr(new EdsrConfig(3, 8, scale, 1)).initialize(random);
        Tensor image = Tensor.zeros(height, width, 3);
        for (int i = 0; i < image.size(); i++) {
            image.array()[i] = random.nextInt(256);
        }
        Tensor whole = edsr.forward(Graph.eager(Compute.shared()).constant(image.reshape(1, height, width, 3)))
                .tensor();
        for (int threads : new int[] {1, 3}) {
            try (Compute compute = Compute.ofThreads(threads);
                    Upscaler upscaler = Upscaler.of(edsr, compute, tile)) {
                Tensor tiled = upscaler.upscale(image);
                assertThat(tiled.shape().dims()).containsExactly(height * scale, width * scale, 3);
                assertThat(tiled.toArray()).containsExactly(whole.toArray());
            }
        }
    }
}
