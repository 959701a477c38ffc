// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.util.Objects;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class ModuleTest {
    /** Two blocks in a row. */
    private static final class Body extends Module {
        private final Child first = child("0", new ResidualBlock(new Conv2d(2, 2, 3), new Conv2d(2, 2, 3), 1));
        private final Child second = child("1", new ResidualBlock(new Conv2d(2, 2, 3), new Conv2d(2, 2, 3), 1));

        @Override
        public Value forward(Value x) {
            return second.forward(first.forward(x));
        }

        void addSecondAgain() {
            child("1", new MeanShift(0));
        }
    }

    @Test
    void namesAreDottedPaths() {
        assertThat(new Body().descendants().keySet())
                .containsExactly("0", "0.body.0", "0.body.2", "1", "1.body.0", "1.body.2");
        assertThat(new Body().parameters().keySet())
                .startsWith("0.body.0.weight", "0.body.0.bias", "0.body.2.weight")
                .hasSize(8);
    }

    @Test
    void aReplacedChildIsTheOneThatRunsAndThatIsListed() {
        Body body = new Body();
        Child slot = Objects.requireNonNull(body.descendants().get("1"));
        Module former = slot.replace(new MeanShift(10, 20));
        assertThat(former).isInstanceOf(ResidualBlock.class);
        Tensor x = Tensor.zeros(1, 1, 1, 2);
        assertThat(body.forward(Graph.eager(Compute.shared()).constant(x))
                        .tensor()
                        .toArray())
                .containsExactly(10, 20);
        assertThat(body.parameters().keySet()).contains("1.weight").doesNotContain("1.body.0.weight");
    }

    @Test
    void refusesTwoChildrenOfOneName() {
        assertThatThrownBy(() -> new Body().addSecondAgain())
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("two children named 1");
    }

    @Test
    void initialisationIsPyTorchsDefaultBound() {
        Conv2d conv = new Conv2d(4, 50, 3).initialize(new SplittableRandom(3), 0.5f);
        float bound = (float) (1 / Math.sqrt(4 * 9));
        float[] weights = conv.weight().value().toArray();
        assertThat(conv.weight().value().shape()).isEqualTo(Shape.of(3, 3, 4, 50));
        float largest = 0;
        for (float w : weights) {
            largest = Math.max(largest, Math.abs(w));
        }
        assertThat(largest).isBetween(0.49f * bound, 0.5f * bound);
        largest = 0;
        for (float b : Objects.requireNonNull(conv.bias()).value().toArray()) {
            largest = Math.max(largest, Math.abs(b));
        }
        assertThat(largest).isBetween(0.8f * bound, bound);
    }
}
