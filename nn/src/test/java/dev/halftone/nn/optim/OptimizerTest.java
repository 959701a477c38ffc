// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.optim;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.nn.Gradients;
import dev.halftone.nn.Graph;
import dev.halftone.nn.Module;
import dev.halftone.nn.Parameter;
import dev.halftone.nn.Value;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Tensor;
import dev.halftone.testing.Golden;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class OptimizerTest {
    private static final Golden GOLDEN = Golden.open("optim");

    /** A parameter {@code w} that is trained and a buffer {@code fixed} that is not. */
    private static final class Holder extends Module {
        final Parameter w;
        final Parameter fixed;

        /** Inside a larger array, so that the offset counts. */
        Holder(Tensor start) {
            float[] array = new float[start.size() + 3];
            System.arraycopy(start.array(), start.offset(), array, 2, start.size());
            w = parameter("w", Tensor.wrap(array, 2, start.shape()), Parameter.Layout.PLAIN);
            fixed = buffer("fixed", Tensor.of(new float[] {5}, 1), Parameter.Layout.PLAIN);
        }

        /** Returns gradients in which that of {@code w} is given. */
        Gradients gradients(Tensor gradient) {
            Graph graph = Graph.recording(Compute.shared());
            Value w = graph.parameter(this.w);
            return graph.backward(w.scale(1), gradient);
        }

        @Override
        public Value forward(Value x) {
            throw new UnsupportedOperationException();
        }
    }

    static List<String> adamCases() {
        return GOLDEN.cases().stream().filter(c -> c.startsWith("adam")).toList();
    }

    private static Adam adam(String name, Map<String, Parameter> parameters) {
        Map<String, Object> a = GOLDEN.attributes(name);
        Adam.Options o = Adam.Options.DEFAULT;
        if (a.containsKey("betas")) {
            double[] betas = GOLDEN.numbers(name, "betas");
            o = o.withBetas(betas[0], betas[1]);
        }
        if (a.containsKey("weight_decay")) {
            o = o.withWeightDecay(
                    GOLDEN.number(name, "weight_decay"),
                    GOLDEN.text(name, "optimizer").equals("AdamW"));
        }
        return new Adam(parameters, a.containsKey("amsgrad") ? o.withAmsgrad() : o);
    }

    private static Tensor state(Adam adam, String name) {
        return Objects.requireNonNull(adam.state().get(name), name);
    }

    @Test
    void theReferenceFileHasEveryVariant() {
        assertThat(GOLDEN.cases())
                .containsExactly("adam", "adam_b99", "adam_wd", "adamw", "adam_amsgrad", "sgd_momentum");
    }

    @ParameterizedTest
    @MethodSource("adamCases")
    void adamEqualsTheReference(String name) {
        for (String parameter : List.of("W", "b")) {
            Holder holder = new Holder(GOLDEN.tensor(name + "/" + parameter + "0"));
            Adam adam = adam(name, holder.parameters());
            for (int step = 0; step < 10; step++) {
                String at = name + "/step" + step + "/";
                adam.step(holder.gradients(GOLDEN.tensor(at + "grad." + parameter)), GOLDEN.number(name, "lr"));
                GOLDEN.assertClose(at + parameter, holder.w.value(), 1e-6);
                if (parameter.equals("W")) {
                    GOLDEN.assertClose(at + "exp_avg.W", state(adam, "w.exp_avg"), 1e-6);
                    GOLDEN.assertClose(at + "exp_avg_sq.W", state(adam, "w.exp_avg_sq"), 1e-6);
                }
            }
            assertThat(adam.steps()).isEqualTo(10);
        }
    }

    /** The whole way: linear layer, squared error, gradients, Adam. The file states 5e-6 for ten steps. */
    @Test
    void adamTrainsALinearLayerLikeTheReference() {
        Linear layer = new Linear(GOLDEN.tensor("adam/W0").permute(1, 0), GOLDEN.tensor("adam/b0"));
        Adam adam = adam("adam", layer.parameters());
        Tensor losses = Tensor.zeros(10);
        for (int step = 0; step < 10; step++) {
            Graph graph = Graph.recording(Compute.shared());
            Value loss = layer.forward(graph.constant(GOLDEN.tensor("adam/x")))
                    .mseLoss(graph.constant(GOLDEN.tensor("adam/t")));
            losses.set(loss.tensor().item(), step);
            adam.step(graph.backward(loss), GOLDEN.number("adam", "lr"));
            GOLDEN.assertClose("adam/step" + step + "/W", layer.weight.value().permute(1, 0), 5e-6);
            GOLDEN.assertClose("adam/step" + step + "/b", layer.bias.value(), 5e-6);
        }
        GOLDEN.assertClose("adam/loss", losses, 5e-6);
    }

    private static final class Linear extends Module {
        final Parameter weight;
        final Parameter bias;

        Linear(Tensor weight, Tensor bias) {
            this.weight = parameter("weight", weight, Parameter.Layout.LINEAR);
            this.bias = parameter("bias", bias, Parameter.Layout.PLAIN);
        }

        @Override
        public Value forward(Value x) {
            return x.linear(weight.in(x), bias.in(x));
        }
    }

    @Test
    void sgdEqualsTheReference() {
        String name = "sgd_momentum";
        for (String parameter : List.of("W", "b")) {
            Holder holder = new Holder(GOLDEN.tensor(name + "/" + parameter + "0"));
            Sgd sgd =
                    new Sgd(holder.parameters(), GOLDEN.number(name, "momentum"), GOLDEN.number(name, "weight_decay"));
            for (int step = 0; step < 10; step++) {
                String at = name + "/step" + step + "/";
                sgd.step(holder.gradients(GOLDEN.tensor(at + "grad." + parameter)), GOLDEN.number(name, "lr"));
                GOLDEN.assertClose(at + parameter, holder.w.value(), 1e-6);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("adamCases")
    void aRestoredOptimizerGoesOnBitForBit(String name) {
        Holder whole = new Holder(GOLDEN.tensor(name + "/W0"));
        Adam wholeAdam = adam(name, whole.parameters());
        run(name, whole, wholeAdam, 0, 4);
        Holder resumed = new Holder(whole.w.value());
        Adam resumedAdam = adam(name, resumed.parameters());
        resumedAdam.restore(wholeAdam.state());
        run(name, whole, wholeAdam, 4, 10);
        run(name, resumed, resumedAdam, 4, 10);
        assertThat(resumed.w.value().toArray()).isEqualTo(whole.w.value().toArray());
        assertThat(resumedAdam.steps()).isEqualTo(10);
    }

    private static void run(String name, Holder holder, Adam adam, int fromStep, int toStep) {
        for (int step = fromStep; step < toStep; step++) {
            adam.step(holder.gradients(GOLDEN.tensor(name + "/step" + step + "/grad.W")), 0.01);
        }
    }

    @Test
    void buffersAreLeftAlone() {
        Holder holder = new Holder(Tensor.of(new float[] {1, 2}, 2));
        Adam adam = new Adam(holder.parameters());
        adam.step(holder.gradients(Tensor.of(new float[] {1, -1}, 2)), 0.1);
        assertThat(holder.fixed.value().toArray()).containsExactly(5);
        assertThat(holder.w.value().toArray()).containsExactly(new float[] {0.9f, 2.1f}, within(1e-6f));
        assertThat(adam.state()).containsOnlyKeys("step", "w.exp_avg", "w.exp_avg_sq");
    }

    @Test
    void theStateIsACopy() {
        Holder holder = new Holder(Tensor.of(new float[] {1, 2}, 2));
        Adam adam = new Adam(holder.parameters());
        Tensor before = state(adam, "w.exp_avg");
        adam.step(holder.gradients(Tensor.of(new float[] {1, -1}, 2)), 0.1);
        assertThat(before.toArray()).containsExactly(0, 0);
        assertThat(state(adam, "w.exp_avg").toArray()).containsExactly(0.1f, -0.1f);
    }

    @Test
    void refusesAStateOfAnotherNetworkNamingEveryDifference() {
        Adam adam = new Adam(new Holder(Tensor.zeros(2)).parameters());
        Map<String, Tensor> state = new LinkedHashMap<>();
        state.put("w.exp_avg", Tensor.zeros(3));
        state.put("v.exp_avg", Tensor.zeros(2));
        state.put("step", Tensor.scalar(3));
        assertThatThrownBy(() -> adam.restore(state))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("optimizer state does not fit: v.exp_avg is unexpected, w.exp_avg is [3] instead of [2], "
                        + "w.exp_avg_sq is missing");
        assertThat(adam.steps()).isZero();
    }

    @Test
    void refusesBetasOutsideTheirRange() {
        assertThatThrownBy(() -> Adam.Options.DEFAULT.withBetas(0.9, 1)).hasMessageContaining("1.0");
        assertThatThrownBy(() -> Adam.Options.DEFAULT.withBetas(-0.1, 0.9)).hasMessageContaining("-0.1");
    }
}
