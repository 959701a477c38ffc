// SPDX-License-Identifier: Apache-2.0
package dev.halftone.bench;

import static org.assertj.core.api.Assertions.assertThat;

import dev.halftone.models.Edsr;
import dev.halftone.models.EdsrConfig;
import dev.halftone.nn.Plan;
import dev.halftone.nn.StateDict;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.io.StoredTensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** The peer computes what Halftone computes, so that their times are those of the same work. */
final class OnnxGraphsTest {
    private final Peer peer = Peer.find().orElseThrow();

    private static Tensor image(int n) {
        SplittableRandom random = new SplittableRandom(n);
        Tensor x = Tensor.zeros(1, n, n, 3);
        for (int i = 0; i < x.size(); i++) {
            x.array()[i] = random.nextInt(256);
        }
        return x;
    }

    @Test
    void edsrGivesTheSameImage() {
        Edsr network = new Edsr(new EdsrConfig(2, 16, 2, 1)).initialize(new SplittableRandom(7));
        Map<String, float[]> state = new LinkedHashMap<>();
        for (StoredTensor t : StateDict.save(network)) {
            state.put(t.name(), t.toTensor().toArray());
        }
        Tensor x = image(20);
        float[] own = Plan.compile(Compute.shared(), network, x.shape())
                .run(x)
                .permute(0, 3, 1, 2)
                .toArray();
        for (boolean int8 : List.of(false, true)) {
            try (Peer.Model model = peer.load(OnnxGraphs.edsr(state, 2, 16, 20, int8), 1)) {
                model.input(x.permute(0, 3, 1, 2).toArray(), 1, 3, 20, 20);
                float[] theirs = model.output();
                assertThat(theirs).hasSameSizeAs(own);
                double difference = 0;
                double power = 0;
                for (int i = 0; i < own.length; i++) {
                    difference += Math.pow(own[i] - theirs[i], 2);
                    power += Math.pow(own[i], 2);
                }
                // The int8 network's steps are arbitrary (its values clip), but it must be the same kind of image.
                assertThat(Math.sqrt(difference / power)).isLessThan(int8 ? 0.5 : 1e-5);
            }
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
}
