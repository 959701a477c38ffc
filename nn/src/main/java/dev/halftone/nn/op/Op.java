// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn.op;

import dev.halftone.tensor.Compute;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * One operation of the vocabulary. An op is an immutable value: its attributes are the record's components, its operands are
 * passed in. Feature maps are channels-last {@code [N, H, W, C]}.
 *
 * <p>Forward and backward are deterministic: the same operands give the same bits for every thread count.
 */
public sealed interface Op
        permits AddOp,
                AttentionBranchOp,
                BypassOp,
                ChannelReluOp,
                CharbonnierLossOp,
                ConcatOp,
                Conv2dOp,
                EnergyMapLossOp,
                FakeQuantizeOp,
                FlipOp,
                GeluOp,
                IntegerConv2dOp,
                L1LossOp,
                LayerNormOp,
                LeakyReluOp,
                LinearOp,
                LocalMagnitudeOp,
                LocalScaleOp,
                MatmulOp,
                MlpBranchOp,
                MseLossOp,
                MultiplyOp,
                NearestLevelOp,
                NearestUpsampleOp,
                PackedAttentionBranchOp,
                PackedMlpBranchOp,
                PermuteOp,
                PixelShuffleOp,
                PixelUnshuffleOp,
                QuantizedConv2dOp,
                ReflectPadOp,
                ReshapeOp,
                RollOp,
                ScaleChannelsOp,
                ScaleOp,
                SliceOp,
                SoftmaxOp,
                WindowAttentionOp,
                WindowPartitionOp,
                WindowReverseOp,
                WinogradConv2dOp,
                ZeroPadOp {
    /**
     * Returns the shape of the output.
     *
     * @throws IllegalArgumentException naming the op and the shapes, if the operands do not fit
     */
    Shape outputShape(Shape... inputs);

    /** Computes {@code output}, which has {@link #outputShape}; every element is overwritten. */
    void forward(Compute compute, Tensor[] inputs, Tensor output);

    /**
     * Returns the gradient for each operand, or null where {@code wanted} is false. The results belong to the caller, who may change
     * them; {@code gradient} belongs to the op and may itself be one of the results.
     *
     * @param inputs the operands of the forward call
     * @param output its result
     * @param gradient the gradient with respect to {@code output}
     */
    @Nullable
    Tensor[] backward(Compute compute, Tensor[] inputs, Tensor output, Tensor gradient, boolean[] wanted);

    /**
     * Returns one op that computes {@code next} with this op's output as its operand number {@code operand}, or null where no kernel
     * does both. Its operands are those of this op, then the others of {@code next}, which all have the shape of this op's output.
     * Used by plans.
     */
    default @Nullable Op fuse(Op next, int operand) {
        return null;
    }

    /** Returns whether the output may overwrite the first operand, of which element {@code i} of the output needs element {@code i} only. */
    default boolean elementwise() {
        return false;
    }

    /** Returns how rows of the output depend on rows of the operands, or null if this op is only computed as a whole. */
    default @Nullable Reach reach(Shape... inputs) {
        return null;
    }

    /**
     * Computes a band of rows, see {@link Reach}: the operands begin and end with the rows that those of {@code output} need.
     *
     * @param top how many rows above those of the first operand the op would read and the feature map does not have
     * @param bottom how many rows below
     */
    default void forward(Compute compute, Tensor[] inputs, Tensor output, int top, int bottom) {
        forward(compute, inputs, output);
    }
}
