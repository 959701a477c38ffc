// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import static org.assertj.core.api.Assertions.assertThat;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.testing.Golden;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** One case of a golden file: checks an op's output and gradients, and the promises that every op makes besides. */
final class OpCase {
    /** How a tensor lies in the golden file. */
    enum Layout {
        PLAIN(new int[0], new int[0]),
        NCHW(new int[] {0, 2, 3, 1}, new int[] {0, 3, 1, 2}),
        OIHW(new int[] {2, 3, 1, 0}, new int[] {3, 2, 0, 1}),
        OUT_IN(new int[] {1, 0}, new int[] {1, 0});

        private final int[] toOurs;
        private final int[] toReference;

        Layout(int[] toOurs, int[] toReference) {
            this.toOurs = toOurs;
            this.toReference = toReference;
        }

        Tensor toOurs(Tensor t) {
            return toOurs.length == 0 ? t : t.permute(toOurs);
        }

        Tensor toReference(Tensor t) {
            return toReference.length == 0 ? t : t.permute(toReference);
        }
    }

    private final Golden golden;
    private final String name;
    private final List<String> names = new ArrayList<>();
    private final List<Layout> layouts = new ArrayList<>();

    OpCase(Golden golden, String name) {
        this.golden = golden;
        this.name = name;
    }

    OpCase operand(String operand, Layout layout) {
        names.add(operand);
        layouts.add(layout);
        return this;
    }

    /** Checks output and gradients at the tolerance that the case states. */
    void check(Op op, Layout outputLayout) {
        double tolerance = golden.tolerance(name);
        check(op, outputLayout, tolerance, tolerance);
    }

    void check(Op op, Layout outputLayout, double outputTolerance, double gradientTolerance) {
        Tensor[] inputs = new Tensor[names.size()];
        for (int i = 0; i < inputs.length; i++) {
            inputs[i] = layouts.get(i).toOurs(golden.tensor(name + "/" + names.get(i)));
        }
        Tensor seed = outputLayout.toOurs(golden.tensor(name + "/grad_out"));
        try (Compute one = Compute.ofThreads(1);
                Compute three = Compute.ofThreads(3)) {
            Tensor output = forward(op, one, inputs);
            golden.assertClose(name + "/out", outputLayout.toReference(output), outputTolerance);
            @Nullable Tensor[] gradients = backward(op, one, inputs, output, seed, wanted(inputs.length, -1));
            for (int i = 0; i < inputs.length; i++) {
                Tensor gradient = Objects.requireNonNull(gradients[i]);
                golden.assertClose(
                        name + "/grad." + names.get(i), layouts.get(i).toReference(gradient), gradientTolerance);
            }

            assertSame("three threads", output, forward(op, three, inputs));
            Tensor[] views = new Tensor[inputs.length];
            for (int i = 0; i < views.length; i++) {
                views[i] = view(inputs[i]);
            }
            assertSame("operands inside larger arrays", output, forward(op, three, views));
            @Nullable
            Tensor[] fromViews = backward(op, three, views, view(output), view(seed), wanted(inputs.length, -1));
            for (int i = 0; i < inputs.length; i++) {
                assertSame("gradient " + i + " from views", gradients[i], fromViews[i]);
                @Nullable Tensor[] alone = backward(op, three, inputs, output, seed, wanted(inputs.length, i));
                assertSame("gradient " + i + " alone", gradients[i], alone[i]);
                for (int j = 0; j < inputs.length; j++) {
                    if (j != i) {
                        assertThat(alone[j]).as("gradient %d, not wanted", j).isNull();
                    }
                }
            }
        }
    }

    /** Runs into a buffer of garbage, as a plan does. */
    static Tensor forward(Op op, Compute compute, Tensor[] inputs) {
        Shape[] shapes = Arrays.stream(inputs).map(Tensor::shape).toArray(Shape[]::new);
        Tensor output = view(Tensor.zeros(op.outputShape(shapes)).fill(Float.NaN));
        op.forward(compute, inputs, output);
        if (op.elementwise()) {
            Tensor[] inPlace = inputs.clone();
            inPlace[0] = inputs[0].copy();
            op.forward(compute, inPlace, inPlace[0]);
            assertSame("in place", output, inPlace[0]);
        }
        return output;
    }

    private static @Nullable Tensor[] backward(
            Op op, Compute compute, Tensor[] inputs, Tensor output, Tensor seed, boolean[] wanted) {
        // The op may change the gradient that it gets.
        Tensor own = Tensor.wrap(seed.array().clone(), seed.offset(), seed.shape());
        return op.backward(compute, inputs, output, own, wanted);
    }

    private static boolean[] wanted(int count, int only) {
        boolean[] wanted = new boolean[count];
        for (int i = 0; i < count; i++) {
            wanted[i] = only < 0 || only == i;
        }
        return wanted;
    }

    /** Returns the same values at an offset in a larger array of NaN. */
    static Tensor view(Tensor t) {
        float[] array = new float[t.size() + 12];
        Arrays.fill(array, Float.NaN);
        System.arraycopy(t.array(), t.offset(), array, 7, t.size());
        return Tensor.wrap(array, 7, t.shape());
    }

    static void assertSame(String what, @Nullable Tensor expected, @Nullable Tensor actual) {
        Tensor e = Objects.requireNonNull(expected);
        Tensor a = Objects.requireNonNull(actual);
        assertThat(a.shape()).as(what).isEqualTo(e.shape());
        assertThat(a.toArray()).as(what).isEqualTo(e.toArray());
    }
}
