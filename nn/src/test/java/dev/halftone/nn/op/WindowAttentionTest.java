// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.halftone.nn.Gradients;
import dev.halftone.nn.Graph;
import dev.halftone.nn.Value;
import dev.halftone.tensor.Compute;
import dev.halftone.tensor.LevelTable;
import dev.halftone.tensor.PackedCodes;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.UniformGrid;
import dev.halftone.tensor.kernels.KernelProvider;
import dev.halftone.tensor.kernels.Kernels;
import dev.halftone.tensor.kernels.QuantizedConvWeight;
import dev.halftone.tensor.kernels.ScalarKernels;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.BiFunction;
import java.util.function.Function;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Attention inside windows against the same computation in elementary ops. */
class WindowAttentionTest {
    private static final List<Integer> BITS = List.of(3, 4, 2, 5);

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

    /** No value lies so near the middle of two codes that another order of sums would change its code. */
    @Test
    void quantizedProductsEqualElementaryOps() {
        SplittableRandom r = new SplittableRandom(8);
        Tensor qkv = random(r, 2, 8, 16, 30);
        Tensor table = random(r, 49, 2);
        Tensor seed = random(r, 2, 8, 16, 10);
        Tensor bounds = Tensor.of(new float[] {-0.4f, 0.5f, -1, 1.25f, 0.01f, 0.3f, -1.5f, 1}, 4, 2);

        Graph one = Graph.recording(Compute.shared());
        Value x = one.variable(qkv);
        Value b = one.variable(bounds);
        Value y = one.apply(new WindowAttentionOp(2, 4, 2, BITS), x, one.constant(table), b);
        Gradients gradients = one.backward(y, seed);

        Graph many = Graph.recording(Compute.shared());
        Value u = many.variable(qkv);
        Value c = many.variable(bounds);
        Value z = elementary(u, table, 2, 5, 4, 2, (v, i) -> quantized(v, c, i, BITS.get(i)));
        Gradients expected = many.backward(z, seed);

        assertClose(y.tensor(), z.tensor(), 2e-6);
        assertClose(gradients.of(x), expected.of(u), 5e-6);
        assertClose(gradients.of(b), expected.of(c), 1e-4);
    }

    @Test
    void productsOnLevelsEqualElementaryOps() {
        SplittableRandom r = new SplittableRandom(8);
        Tensor qkv = random(r, 2, 8, 16, 30);
        Tensor table = random(r, 49, 2);
        Tensor seed = random(r, 2, 8, 16, 10);
        LevelTable halves = LevelTable.of(3, -0.5f, -0.125f, 0, 0.125f, 0.5f);
        LevelTable probabilities = LevelTable.of(3, 0, 0.015f, 0.03f, 0.125f, 0.25f, 0.5f);
        List<LevelTable> tables = List.of(halves, LevelTable.of(2, -1, -0.5f, 0.25f, 1), probabilities, halves);

        Graph one = Graph.recording(Compute.shared());
        Value x = one.variable(qkv);
        Value y = one.apply(new WindowAttentionOp(2, 4, 2, List.of(), List.copyOf(tables)), x, one.constant(table));
        Graph many = Graph.recording(Compute.shared());
        Value u = many.variable(qkv);
        Value z = elementary(u, table, 2, 5, 4, 2, (v, i) -> v.nearestLevel(tables.get(i)));

        assertClose(y.tensor(), z.tensor(), 2e-6);
        assertClose(one.backward(y, seed).of(x), many.backward(z, seed).of(u), 5e-6);
    }

    private static Value elementary(Value qkv, Tensor table, int heads, int depth, int window, int shift) {
        return elementary(qkv, table, heads, depth, window, shift, (v, i) -> v);
    }

    /** Calls {@code operand} for queries, keys, probabilities and values, by number. */
    private static Value elementary(
            Value qkv,
            Tensor table,
            int heads,
            int depth,
            int window,
            int shift,
            BiFunction<Value, Integer, Value> operand) {
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
        Value scores = operand.apply(q, 0)
                .matmulTransposed(operand.apply(k, 1))
                .reshape(shape.dim(0), windows, heads, n, n)
                .add(qkv.graph().constant(bias))
                .reshape(shape.dim(0) * windows, heads, n, n);
        return operand.apply(scores.softmax(-1), 2)
                .matmul(operand.apply(v, 3))
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
        Tensor[] one = {random(r, 9, 3), random(r, 6, 6), random(r, 6), random(r, 6, 18), random(r, 18)};
        compare(
                x,
                v -> v[0].graph().apply(new AttentionBranchOp(1e-5f, new WindowAttentionOp(3, 2, 1)), v),
                v -> v[0].add(v[0].layerNorm(v[1], v[2], 1e-5f)
                        .linear(v[6], v[7])
                        .windowAttention(v[3], 3, 2, 1)
                        .linear(v[4], v[5])),
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

    @Test
    void quantizedBranchesEqualTheirLayers() {
        SplittableRandom r = new SplittableRandom(6);
        Tensor[] norm = {random(r, 6), random(r, 6)};
        Tensor bounds = Tensor.of(new float[] {-1, 1.5f, -2, 1, -1.25f, 2, -0.5f, 0.75f}, 4, 2);
        Tensor attention = Tensor.of(new float[] {-1, 1, -1.5f, 2, 0, 0.7f, -1, 0.5f}, 4, 2);
        WindowAttentionOp products = new WindowAttentionOp(3, 2, 1, List.of(3, 4, 2, 5));
        compare(
                random(r, 3, 24, 16, 6),
                v -> v[0].graph().apply(new AttentionBranchOp(1e-5f, products, List.of(2, 3, 4, 5)), v),
                v -> {
                    Value normal = v[0].layerNorm(v[1], v[2], 1e-5f);
                    Value q = quantized(normal, v[12], 0, 2).linear(v[6], v[7]);
                    Value k = quantized(normal, v[12], 1, 3).linear(v[8], v[9]);
                    Value u = quantized(normal, v[12], 2, 4).linear(v[10], v[11]);
                    Value y = v[0].graph().apply(products, q.concat(-1, k, u), v[3], v[13]);
                    return v[0].add(quantized(y, v[12], 3, 5).linear(v[4], v[5]));
                },
                norm[0],
                norm[1],
                random(r, 9, 3),
                random(r, 6, 6),
                random(r, 6),
                random(r, 6, 6),
                random(r, 6),
                random(r, 6, 6),
                random(r, 6),
                random(r, 6, 6),
                random(r, 6),
                bounds,
                attention);
        compare(
                random(r, 2, 31, 19, 6),
                v -> v[0].graph().apply(new MlpBranchOp(1e-5f, List.of(2, 4)), v),
                v -> {
                    Value normal = v[0].layerNorm(v[1], v[2], 1e-5f);
                    Value h = quantized(normal, v[7], 0, 2).linear(v[3], v[4]).gelu();
                    return v[0].add(quantized(h, v[7], 1, 4).linear(v[5], v[6]));
                },
                norm[0],
                norm[1],
                random(r, 6, 13),
                random(r, 13),
                random(r, 13, 6),
                random(r, 6),
                Tensor.of(new float[] {-1, 1.5f, -0.17f, 1.25f}, 2, 2));
    }

    /** Against the integer reference, layer by layer. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 8})
    void packedBranchesEqualTheirLayers(int bits) {
        SplittableRandom r = new SplittableRandom(10L + bits);
        int channels = 20;
        List<Packed> projections = List.of(
                new Packed(r, bits, channels, channels, -1.5f),
                new Packed(r, bits, channels, channels, -1),
                new Packed(r, bits, channels, channels, -2));
        Packed output = new Packed(r, bits, channels, channels, -1);
        Packed first = new Packed(r, bits, channels, 2 * channels, -2);
        Packed second = new Packed(r, bits, 2 * channels, channels, -0.17f);
        WindowAttentionOp products = new WindowAttentionOp(2, 8, 4, List.of(bits, bits, bits, bits));
        Graph graph = Graph.eager(Compute.shared());
        Value x = graph.constant(random(r, 2, 16, 24, channels));
        Value weight = graph.constant(random(r, channels));
        Value bias = graph.constant(random(r, channels));
        Value table = graph.constant(random(r, 225, 2));
        Value bounds = graph.constant(Tensor.of(new float[] {-1, 1, -1.5f, 2, 0, 0.1f, -1, 0.5f}, 4, 2));

        Value normal = x.layerNorm(weight, bias, 1e-5f);
        Value qkv = projections
                .get(0)
                .reference(normal)
                .concat(
                        -1,
                        projections.get(1).reference(normal),
                        projections.get(2).reference(normal));
        Value y = x.add(output.reference(graph.apply(products, qkv, table, bounds)));
        List<QuantizedConv2dOp> fast = projections.stream().map(Packed::fast).toList();
        PackedAttentionBranchOp branch = new PackedAttentionBranchOp(1e-5f, products, fast, output.fast());
        OpCase.assertSame(
                "attention",
                y.tensor(),
                graph.apply(branch, x, weight, bias, table, bounds).tensor());

        Value z = x.add(second.reference(first.reference(normal).gelu()));
        PackedMlpBranchOp mlp = new PackedMlpBranchOp(1e-5f, first.fast(), second.fast());
        OpCase.assertSame("mlp", z.tensor(), graph.apply(mlp, x, weight, bias).tensor());
    }

    /** A packed linear layer of random codes. */
    private record Packed(QuantizedConvWeight weight, UniformGrid grid) {
        Packed(SplittableRandom r, int bits, int in, int out, float lower) {
            this(
                    new QuantizedConvWeight(
                            1,
                            in,
                            out,
                            PackedCodes.pack(codes(r, bits, in * out), bits),
                            Tensor.zeros(out).fill(1f / ((1 << bits) - 1)),
                            Tensor.zeros(out).fill(-0.5f),
                            random(r, out)),
                    new UniformGrid(bits, lower, 1.5f));
        }

        private static byte[] codes(SplittableRandom r, int bits, int count) {
            byte[] codes = new byte[count];
            for (int i = 0; i < count; i++) {
                codes[i] = (byte) r.nextInt(1 << bits);
            }
            return codes;
        }

        private QuantizedConv2dOp op(Kernels kernels) {
            return new QuantizedConv2dOp(
                    kernels.lowBit().prepare(weight, grid), weight.inChannels(), weight.outChannels());
        }

        QuantizedConv2dOp fast() {
            return op(KernelProvider.kernels());
        }

        Value reference(Value x) {
            return x.graph().apply(op(new ScalarKernels()), x);
        }
    }

    private static Value quantized(Value x, Value bounds, int row, int bits) {
        Value pair = bounds.slice(0, row, row + 1);
        return x.fakeQuantize(
                pair.slice(1, 0, 1).reshape(1), pair.slice(1, 1, 2).reshape(1), bits);
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
