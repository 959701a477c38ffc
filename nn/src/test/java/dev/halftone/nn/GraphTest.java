// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.halftone.nn.op.AddOp;
import dev.halftone.nn.op.MultiplyOp;
import dev.halftone.nn.op.ScaleOp;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.lang.ref.WeakReference;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class GraphTest {
    private static Tensor vector(float... values) {
        return Tensor.of(values, values.length);
    }

    private final Graph graph = Graph.recording(Compute.shared());

    @Test
    void gradientsOfAValueThatIsUsedSeveralTimesAddUp() {
        Value x = graph.variable(vector(1, 2, 3));
        // 2 x + x * x + x, so the gradient is 3 + 2 x.
        Value y = x.scale(2).add(x.multiply(x)).add(x);
        assertThat(graph.backward(y, vector(1, 1, 10)).of(x).toArray()).containsExactly(5, 7, 90);
    }

    @Test
    void anIntermediateValueThatIsUsedSeveralTimesPassesOnTheSumOnce() {
        Value x = graph.variable(vector(1, 2));
        Value twice = x.scale(2);
        Value y = twice.add(twice).add(twice);
        assertThat(graph.backward(y, vector(1, 1)).of(x).toArray()).containsExactly(6, 6);
    }

    @Test
    void backwardChangesNeitherTheSeedNorTheOperands() {
        Tensor xs = vector(1, 2);
        Tensor seed = vector(1, 1);
        Value x = graph.variable(xs);
        Value y = x.add(x.reshape(2)).add(x.multiply(x));
        Tensor output = y.tensor().copy();
        Gradients first = graph.backward(y, seed);
        Gradients second = graph.backward(y, seed);
        assertThat(seed.toArray()).containsExactly(1, 1);
        assertThat(xs.toArray()).containsExactly(1, 2);
        assertThat(y.tensor().toArray()).isEqualTo(output.toArray());
        assertThat(second.of(x).toArray()).isEqualTo(first.of(x).toArray()).containsExactly(4, 6);
    }

    @Test
    void onlyWhatLeadsToAVariableIsRecorded() {
        Value x = graph.variable(vector(1, 2));
        Value c = graph.constant(vector(3, 4));
        Value onlyConstants = c.scale(2).multiply(c);
        Value y = x.multiply(onlyConstants);
        assertThat(graph.nodes()).extracting(Graph.Node::op).containsExactly(new MultiplyOp());
        assertThat(onlyConstants.wantsGradient()).isFalse();
        assertThat(y.wantsGradient()).isTrue();
        Gradients gradients = graph.backward(y, vector(1, 1));
        assertThat(gradients.of(x).toArray()).containsExactly(18, 32);
        assertThat(gradients.of(c).toArray()).as("a constant").containsExactly(0, 0);
    }

    @Test
    void whatTheOutputDoesNotDependOnHasGradientZero() {
        Value x = graph.variable(vector(1, 2));
        Value other = graph.variable(vector(3, 4));
        other.scale(5);
        Value y = x.scale(2);
        assertThat(graph.backward(y, vector(1, 1)).of(other).toArray()).containsExactly(0, 0);
        Parameter unused = new Conv2d(2, 3, 1).weight();
        assertThat(graph.backward(y, vector(1, 1)).of(unused).shape()).isEqualTo(Shape.of(1, 1, 2, 3));
    }

    @Test
    void gradientsOfAnEarlierValueLeaveOutWhatComesAfterIt() {
        Value x = graph.variable(vector(1, 2));
        Value y = x.scale(2);
        y.scale(100);
        assertThat(graph.backward(y, vector(1, 1)).of(x).toArray()).containsExactly(2, 2);
    }

    @Test
    void aParameterIsOneValuePerGraphAndItsGradientsAddUp() {
        Conv2d conv = new Conv2d(2, 2, 1);
        conv.initialize(new SplittableRandom(1), 1);
        Value x = graph.constant(Tensor.of(new float[] {1, 2}, 1, 1, 1, 2));
        assertThat(conv.weight().in(x)).isSameAs(conv.weight().in(x));
        Value y = conv.forward(x).add(conv.forward(x));
        Gradients gradients = graph.backward(y, Tensor.of(new float[] {1, 10}, 1, 1, 1, 2));
        assertThat(gradients.of(conv.weight()).toArray()).containsExactly(2, 20, 4, 40);
    }

    @Test
    void buffersGetNoGradient() {
        MeanShift shift = new MeanShift(1, 2, 3);
        Value x = graph.constant(Tensor.zeros(1, 1, 1, 3));
        Value y = shift.forward(x);
        assertThat(y.tensor().toArray()).containsExactly(1, 2, 3);
        assertThat(y.wantsGradient()).isFalse();
        assertThat(graph.nodes()).isEmpty();
    }

    @Test
    void anEagerGraphKeepsNothing() throws InterruptedException {
        Graph eager = Graph.eager(Compute.shared());
        Value x = eager.variable(vector(1, 2));
        Value y = x.scale(2);
        WeakReference<Tensor> intermediate = new WeakReference<>(y.tensor());
        y = y.scale(3);
        assertThat(y.tensor().toArray()).containsExactly(6, 12);
        assertThat(eager.nodes()).isEmpty();
        for (int i = 0; i < 100 && intermediate.get() != null; i++) {
            System.gc();
            Thread.sleep(10);
        }
        assertThat(intermediate.get())
                .as("the intermediate tensor after garbage collection")
                .isNull();
        Value output = y;
        assertThatThrownBy(() -> eager.backward(output, vector(1, 1)))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("recording");
    }

    @Test
    void aTracingGraphHasShapesButNoTensors() {
        Graph tracing = Graph.tracing(Compute.shared());
        Value x = tracing.placeholder(Shape.of(2, 3));
        Value y = x.scale(2).add(x);
        assertThat(y.shape()).isEqualTo(Shape.of(2, 3));
        assertThat(tracing.nodes()).extracting(Graph.Node::op).containsExactly(new ScaleOp(2), new AddOp(1));
        assertThatThrownBy(y::tensor).isInstanceOf(IllegalStateException.class).hasMessageContaining("[2, 3]");
        assertThatThrownBy(() -> tracing.backward(y, vector(1))).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> graph.placeholder(Shape.of(1))).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void refusesOperandsOfAnotherGraphAndSeedsOfAnotherShape() {
        Value x = graph.variable(vector(1, 2));
        Value foreign = Graph.recording(Compute.shared()).variable(vector(1, 2));
        assertThatThrownBy(() -> x.add(foreign))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("operand 1");
        assertThatThrownBy(() -> graph.backward(x.scale(1), vector(1)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("gradient [1] for a value of shape [2]");
    }

    @Test
    void backwardWithoutASeedStartsAtOneAndNeedsAScalar() {
        Value x = graph.variable(vector(3, -5));
        Value loss = x.mseLoss(graph.constant(vector(1, 1)));
        assertThat(loss.tensor().item()).isEqualTo(20);
        assertThat(graph.backward(loss).of(x).toArray()).containsExactly(2, -6);
        assertThatThrownBy(() -> graph.backward(x.scale(2)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("a loss is one number, not [2]");
    }
}
