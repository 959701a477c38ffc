// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import static dev.halftone.nn.op.OpCase.Layout.NCHW;
import static dev.halftone.nn.op.OpCase.Layout.OIHW;
import static dev.halftone.nn.op.OpCase.Layout.OUT_IN;
import static dev.halftone.nn.op.OpCase.Layout.PLAIN;
import static org.assertj.core.api.Assertions.assertThat;

import dev.halftone.testing.Golden;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every op against the reference's numbers, forward and gradients. */
class GoldenOpsTest {
    private static final Golden CONV = Golden.open("ops_conv2d");
    private static final Golden MATMUL = Golden.open("ops_linear_matmul");
    private static final Golden NORM = Golden.open("ops_norm_act");
    private static final Golden LOSS = Golden.open("ops_losses");
    private static final Golden SHAPE = Golden.open("ops_shape");

    /** The shape file states no tolerance per case: moves are exact, gradients that are sums are within this. */
    private static final double SUM_TOLERANCE = 1e-6;

    @Test
    void noCaseIsMissing() {
        assertThat(CONV.cases()).hasSize(16);
        assertThat(MATMUL.cases()).hasSize(11);
        assertThat(NORM.cases()).hasSize(18);
        assertThat(LOSS.cases()).hasSize(4);
        assertThat(SHAPE.cases()).hasSize(29);
        assertThat(shapeCases()).hasSize(23);
    }

    static List<String> convCases() {
        return CONV.cases();
    }

    @ParameterizedTest
    @MethodSource("convCases")
    void conv2d(String name) {
        OpCase c = new OpCase(CONV, name).operand("x", NCHW).operand("weight", OIHW);
        if (CONV.flag(name, "bias")) {
            c.operand("bias", PLAIN);
        }
        c.check(new Conv2dOp(CONV.integer(name, "padding"), CONV.integer(name, "groups")), NCHW);
    }

    static List<String> matmulCases() {
        return MATMUL.cases();
    }

    @ParameterizedTest
    @MethodSource("matmulCases")
    void linearAndMatmul(String name) {
        OpCase c = new OpCase(MATMUL, name);
        if (MATMUL.text(name, "op").equals("linear")) {
            c.operand("x", PLAIN).operand("weight", OUT_IN);
            if (MATMUL.flag(name, "bias")) {
                c.operand("bias", PLAIN);
            }
            c.check(new LinearOp(), PLAIN);
        } else {
            c.operand("a", PLAIN)
                    .operand("b", PLAIN)
                    .check(new MatmulOp(MATMUL.flag(name, "transpose_b_last2")), PLAIN);
        }
    }

    static List<String> normCases() {
        return NORM.cases();
    }

    @ParameterizedTest
    @MethodSource("normCases")
    void normsActivationsAndSums(String name) {
        OpCase c = new OpCase(NORM, name);
        switch (NORM.text(name, "op")) {
            case "layer_norm" ->
                c.operand("x", PLAIN)
                        .operand("weight", PLAIN)
                        .operand("bias", PLAIN)
                        .check(new LayerNormOp((float) NORM.number(name, "eps")), PLAIN);
            case "softmax" -> c.operand("x", PLAIN).check(new SoftmaxOp(NORM.integer(name, "dim")), PLAIN);
            case "gelu" -> c.operand("x", PLAIN).check(new GeluOp(), PLAIN);
            case "relu" -> c.operand("x", PLAIN).check(new LeakyReluOp(0), PLAIN);
            case "leaky_relu" ->
                c.operand("x", PLAIN).check(new LeakyReluOp((float) NORM.number(name, "negative_slope")), PLAIN);
            case "add" -> c.operand("a", PLAIN).operand("b", PLAIN).check(new AddOp(1), PLAIN);
            case "mul" -> c.operand("a", PLAIN).operand("b", PLAIN).check(new MultiplyOp(), PLAIN);
            default -> throw new AssertionError("unknown op in " + name);
        }
    }

    static List<String> lossCases() {
        return LOSS.cases();
    }

    @ParameterizedTest
    @MethodSource("lossCases")
    void losses(String name) {
        OpCase c = new OpCase(LOSS, name).operand("pred", NCHW).operand("target", NCHW);
        int size = LOSS.tensor(name + "/pred").size();
        float scale = LOSS.text(name, "reduction").equals("mean") ? 1f / size : 1;
        Op op = switch (LOSS.text(name, "op")) {
            case "l1" -> new L1LossOp(scale);
            case "mse" -> new MseLossOp(scale);
            case "charbonnier" -> new CharbonnierLossOp(scale, LOSS.number(name, "eps"));
            default -> throw new AssertionError("unknown loss in " + name);
        };
        c.check(op, PLAIN);
    }

    /** Those with tensors of their own: tables and masks are {@code WindowsTest}'s. */
    static List<String> shapeCases() {
        return SHAPE.cases().stream().filter(c -> SHAPE.has(c + "/out")).toList();
    }

    @ParameterizedTest
    @MethodSource("shapeCases")
    void moves(String name) {
        OpCase c = new OpCase(SHAPE, name);
        switch (SHAPE.text(name, "op")) {
            case "pixel_shuffle" ->
                c.operand("x", NCHW).check(new PixelShuffleOp(SHAPE.integer(name, "r")), NCHW, 0, 0);
            case "pixel_unshuffle" ->
                c.operand("x", NCHW).check(new PixelUnshuffleOp(SHAPE.integer(name, "r")), NCHW, 0, 0);
            case "reflect_pad" -> {
                int[] pad = SHAPE.integers(name, "pad");
                c.operand("x", NCHW).check(new ReflectPadOp(pad[2], pad[3], pad[0], pad[1]), NCHW, 0, SUM_TOLERANCE);
            }
            case "window_partition" ->
                c.operand("x", PLAIN).check(new WindowPartitionOp(SHAPE.integer(name, "window")), PLAIN, 0, 0);
            case "window_reverse" -> {
                Op op = new WindowReverseOp(
                        SHAPE.integer(name, "window"), SHAPE.integer(name, "H"), SHAPE.integer(name, "W"));
                c.operand("windows", PLAIN).check(op, PLAIN, 0, 0);
            }
            case "roll" -> {
                int[] shifts = SHAPE.integers(name, "shifts");
                assertThat(SHAPE.integers(name, "dims")).containsExactly(1, 2);
                c.operand("x", PLAIN).check(new RollOp(shifts[0], shifts[1]), PLAIN, 0, 0);
            }
            case "nearest" ->
                c.operand("x", NCHW).check(new NearestUpsampleOp(SHAPE.integer(name, "scale")), NCHW, 0, SUM_TOLERANCE);
            case "permute" -> {
                List<Integer> order =
                        Arrays.stream(SHAPE.integers(name, "dims")).boxed().toList();
                c.operand("x", PLAIN).check(new PermuteOp(order), PLAIN, 0, 0);
            }
            case "concat" ->
                c.operand("a", PLAIN).operand("b", PLAIN).check(new ConcatOp(SHAPE.integer(name, "dim")), PLAIN, 0, 0);
            case "flip" -> c.operand("x", PLAIN).check(new FlipOp(SHAPE.integers(name, "dims")[0]), PLAIN, 0, 0);
            default -> throw new AssertionError("unknown op in " + name);
        }
    }
}
