// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.nn.Gradients;
import dev.halftone.nn.Graph;
import dev.halftone.nn.Value;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import java.util.SplittableRandom;
import java.util.function.Function;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Attention inside windows against the same computation in elementary ops. */
class WindowAttentionTest {
    private static Tensor random(SplittableRandom random, int... dims) {
        Tensor t = Tensor.zeros(dims);
        for (int i = 0; i < t.size(); i++) {
            t.array()[i] = (float) random.nextDouble(-1.5, 1.5);
        }
        return t;
    }

    @ParameterizedTest
    @CsvSource({"2, 8, 16, 2, 5, 4, 0", "2, 8, 16, 2, 5, 4, 2", "1, 16, 8, 6, 10, 8, 4", "1, 7, 14, 1, 3, 7, 3"})
    void equalsElementaryOps(int batch, int height, int width, int heads, int depth, int window, int shift) {
        SplittableRandom r = new SplittableRandom(window * 10L + shift);
        int channels = heads * depth;
        Tensor qkv = random(r, batch, height, width, 3 * channels);
        Tensor table = random(r, (2 * window - 1) * (2 * window - 1), heads);
        Tensor seed = random(r, batch, height, width, channels);

        Graph one = Graph.recording(Compute.shared());
        Value x = one.variable(qkv);
        Value t = one.variable(table);
        Value y = x.windowAttention(t, heads, window, shift);
        Gradients gradients = one.backward(y, seed);

        Graph many = Graph.recording(Compute.shared());
        Value u = many.variable(qkv);
        Value z = elementary(u, table, heads, depth, window, shift);
        Gradients expected = many.backward(z, seed);

        assertClose(y.tensor(), z.tensor(), 2e-6);
        assertClose(gradients.of(x), expected.of(u), 5e-6);
        // The table's gradient is checked against central differences elsewhere; here, that of uniform shifts: none.
        Tensor dTable = gradients.of(t);
        for (int head = 0; head < heads; head++) {
            double sum = 0;
            for (int i = 0; i < table.dim(0); i++) {
                sum += dTable.get(i, head);
            }
            assertThat(sum).isCloseTo(0, within(1e-4));
        }
    }

    private static Value elementary(Value qkv, Tensor table, int heads, int depth, int window, int shift) {
        Shape shape = qkv.shape();
        int n = window * window;
        int windows = shape.dim(1) / window * (shape.dim(2) / window);
        // [windows, n, 3, heads, depth] to [3, windows, heads, n, depth]
        Value parts = qkv.roll(-shift, -shift)
                .windowPartition(window)
                .reshape(shape.dim(0) * windows, n, 3, heads, depth)
                .permute(2, 0, 3, 1, 4);
        int[] one = {shape.dim(0) * windows, heads, n, depth};
        Value q = parts.slice(0, 0, 1).reshape(one).scale((float) (1 / Math.sqrt(depth)));
        Value k = parts.slice(0, 1, 2).reshape(one);
        Value v = parts.slice(0, 2, 3).reshape(one);
        int[][] index = Windows.relativePositionIndex(window);
        Tensor bias = Tensor.zeros(windows, heads, n, n);
        Tensor mask =
                shift == 0 ? Tensor.zeros(windows, n, n) : Windows.shiftMask(shape.dim(1), shape.dim(2), window, shift);
        for (int w = 0; w < windows; w++) {
            for (int h = 0; h < heads; h++) {
                for (int i = 0; i < n; i++) {
                    for (int j = 0; j < n; j++) {
                        bias.set(table.get(index[i][j], h) + mask.get(w, i, j), w, h, i, j);
                    }
                }
            }
        }
        Value scores = q.matmulTransposed(k)
                .reshape(shape.dim(0), windows, heads, n, n)
                .add(qkv.graph().constant(bias))
                .reshape(shape.dim(0) * windows, heads, n, n);
        return scores.softmax(-1)
                .matmul(v)
                .permute(0, 2, 1, 3)
                .reshape(shape.dim(0) * windows, window, window, heads * depth)
                .windowReverse(window, shape.dim(1), shape.dim(2))
                .roll(shift, shift);
    }

    private static void assertClose(Tensor actual, Tensor expected, double tolerance) {
        assertThat(actual.shape()).isEqualTo(expected.shape());
        double max = 0;
        for (float v : expected.toArray()) {
            max = Math.max(max, Math.abs(v));
        }
        for (int i = 0; i < actual.size(); i++) {
            assertThat((double) actual.toArray()[i]).isCloseTo(expected.toArray()[i], within(tolerance * max));
        }
    }

    /** More rows than one block has, the last group of them incomplete. */
    @Test
    void branchesEqualTheirLayers() {
        SplittableRandom r = new SplittableRandom(4);
        Tensor x = random(r, 3, 24, 16, 6);
        Tensor[] norm = {random(r, 6), random(r, 6)};
        Tensor[] one = {random(r, 6, 18), random(r, 18), random(r, 9, 3), random(r, 6, 6), random(r, 6)};
        compare(
                x,
                v -> v[0].graph().apply(new AttentionBranchOp(1e-5f, new WindowAttentionOp(3, 2, 1)), v),
                v -> v[0].add(v[0].layerNorm(v[1], v[2], 1e-5f)
                        .linear(v[3], v[4])
                        .windowAttention(v[5], 3, 2, 1)
                        .linear(v[6], v[7])),
                norm[0],
                norm[1],
                one[0],
                one[1],
                one[2],
                one[3],
                one[4]);
        compare(
                random(r, 2, 31, 19, 6),
                v -> v[0].graph().apply(new MlpBranchOp(1e-5f), v),
                v -> v[0].add(v[0].layerNorm(v[1], v[2], 1e-5f)
                        .linear(v[3], v[4])
                        .gelu()
                        .linear(v[5], v[6])),
                norm[0],
                norm[1],
                random(r, 6, 13),
                random(r, 13),
                random(r, 13, 6),
                random(r, 6));
    }

    /** Outputs must be the same, gradients but for rounding: sums over rows have another order. */
    private static void compare(
            Tensor x, Function<Value[], Value> branch, Function<Value[], Value> layers, Tensor... parameters) {
        Tensor seed = random(new SplittableRandom(5), x.shape().dims());
        Tensor[] expected = gradients(layers, x, seed, parameters, Compute.shared());
        Tensor[] actual = gradients(branch, x, seed, parameters, Compute.shared());
        OpCase.assertSame("output", expected[0], actual[0]);
        for (int i = 1; i < expected.length; i++) {
            assertClose(actual[i], expected[i], 3e-6);
        }
        try (Compute three = Compute.ofThreads(3)) {
            Tensor[] again = gradients(branch, x, seed, parameters, three);
            for (int i = 0; i < again.length; i++) {
                OpCase.assertSame("three threads, " + i, actual[i], again[i]);
            }
        }
    }

    /** Returns the output and the gradients. */
    private static Tensor[] gradients(
            Function<Value[], Value> function, Tensor x, Tensor seed, Tensor[] parameters, Compute compute) {
        Graph graph = Graph.recording(compute);
        Value[] values = new Value[parameters.length + 1];
        values[0] = graph.variable(x);
        for (int i = 0; i < parameters.length; i++) {
            values[i + 1] = graph.variable(parameters[i]);
        }
        Value y = function.apply(values);
        Gradients gradients = graph.backward(y, seed);
        Tensor[] all = new Tensor[values.length + 1];
        all[0] = y.tensor();
        for (int i = 0; i < values.length; i++) {
            all[i + 1] = gradients.of(values[i]);
        }
        return all;
    }

    /** Several blocks of windows, whose bias gradients are added up. */
    @Test
    void doesNotDependOnTheThreads() {
        SplittableRandom r = new SplittableRandom(3);
        WindowAttentionOp op = new WindowAttentionOp(2, 2, 1);
        Tensor[] inputs = {random(r, 3, 8, 6, 12), random(r, 9, 2)};
        Tensor seed = random(r, 3, 8, 6, 4);
        try (Compute one = Compute.ofThreads(1);
                Compute three = Compute.ofThreads(3)) {
            Tensor a = OpCase.forward(op, one, inputs);
            OpCase.assertSame("output", a, OpCase.forward(op, three, inputs));
            boolean[] all = {true, true};
            Tensor[] da = op.backward(one, inputs, a, seed, all);
            Tensor[] db = op.backward(three, inputs, a, seed, all);
            OpCase.assertSame("gradient", da[0], db[0]);
            OpCase.assertSame("gradient of the table", da[1], db[1]);
        }
    }
}
