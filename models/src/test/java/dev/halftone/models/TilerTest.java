// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models;

import static org.assertj.core.api.Assertions.assertThat;

import dev.halftone.nn.Graph;
import dev.halftone.nn.Plan;
import dev.halftone.nn.Planner;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TilerTest {
    private static Edsr network(int blocks, int features, int scale) {
        return new Edsr(new EdsrConfig(blocks, features, scale, 1)).initialize(new SplittableRandom(scale));
    }

    private static Tensor image(int height, int width) {
        SplittableRandom random = new SplittableRandom(height);
        Tensor image = Tensor.zeros(height, width, 3);
        for (int i = 0; i < image.size(); i++) {
            image.array()[i] = random.nextInt(256);
        }
        return image;
    }

    private static float[] whole(Edsr edsr, Tensor image) {
        Shape shape = Shape.of(1, image.dim(0), image.dim(1), 3);
        Plan plan = new Planner(Compute.shared(), edsr).plan(shape, Long.MAX_VALUE);
        return plan.run(image.reshape(shape)).toArray();
    }

    @ParameterizedTest
    @CsvSource({
        "3, 8, 2, 37, 53, 8",
        "3, 8, 2, 64, 64, 16",
        "3, 8, 3, 25, 71, 10",
        "3, 8, 4, 40, 33, 7",
        "3, 8, 2, 9, 5, 16",
        "3, 8, 2, 1, 90, 20",
        "3, 8, 4, 31, 1, 5",
        "1, 16, 2, 75, 101, 5",
        "1, 16, 3, 98, 71, 16",
        "1, 16, 4, 66, 87, 11"
    })
    void tiledEqualsUntiledBitForBit(int blocks, int features, int scale, int height, int width, int tile) {
        Edsr edsr = network(blocks, features, scale);
        Tensor image = image(height, width);
        float[] whole = whole(edsr, image);
        for (int threads : new int[] {1, 3}) {
            try (Compute compute = Compute.ofThreads(threads);
                    Upscaler upscaler = Upscaler.of(edsr, compute, tile)) {
                Tensor tiled = upscaler.upscale(image);
                assertThat(tiled.shape().dims()).containsExactly(height * scale, width * scale, 3);
                assertThat(tiled.toArray()).isEqualTo(whole);
            }
        }
    }

    @Test
    void smallNetworksEqualEagerExecutionBitForBit() {
        Edsr edsr = network(3, 8, 2);
        Tensor image = image(30, 40);
        Tensor eager = edsr.forward(Graph.eager(Compute.shared()).constant(image.reshape(1, 30, 40, 3)))
                .tensor();
        assertThat(whole(edsr, image)).isEqualTo(eager.toArray());
    }

    @ParameterizedTest
    @CsvSource({"2, 120, 70", "3, 75, 50", "4, 50, 61"})
    void lessMemoryGivesTheSameBits(int scale, int height, int width) {
        Edsr edsr = network(1, 16, scale);
        Tensor image = image(height, width);
        float[] whole = whole(edsr, image);
        Planner planner = new Planner(Compute.shared(), edsr);
        Shape shape = Shape.of(1, height, width, 3);
        long all = planner.plan(shape, Long.MAX_VALUE).bufferBytes();
        long least = planner.plan(shape, 0).bufferBytes();
        List<Long> memories = new ArrayList<>(List.of(all, (all + least) / 2, least, least - 1, least * 2 / 3, 1L));
        for (long memory : memories) {
            try (Upscaler upscaler = Upscaler.of(edsr, Compute.shared(), Upscaler.NO_TILES, memory)) {
                assertThat(upscaler.upscale(image).toArray())
                        .as("%d bytes", memory)
                        .isEqualTo(whole);
            }
        }
    }
}
