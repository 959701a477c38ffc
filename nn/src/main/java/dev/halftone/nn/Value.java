// SPDX-License-Identifier: Apache-2.0
package dev.halftone.nn;

import dev.halftone.nn.op.AddOp;
import dev.halftone.nn.op.Conv2dOp;
import dev.halftone.nn.op.FakeQuantizeOp;
import dev.halftone.nn.op.L1LossOp;
import dev.halftone.nn.op.LeakyReluOp;
import dev.halftone.nn.op.MseLossOp;
import dev.halftone.nn.op.MultiplyOp;
import dev.halftone.nn.op.PixelShuffleOp;
import dev.halftone.nn.op.QuantizedConv2dOp;
import dev.halftone.nn.op.ReshapeOp;
import dev.halftone.nn.op.ScaleOp;
import dev.halftone.tensor.Shape;
import dev.halftone.tensor.Tensor;
import dev.halftone.tensor.kernels.PackedConv;
import org.jspecify.annotations.Nullable;

/**
 * A tensor inside a {@link Graph}: what flows through a network's {@code forward}. Every op of the vocabulary is a method here,
 * so a forward pass reads like its formula. Feature maps are {@code [N, H, W, C]}.
 */
public final class Value {
    private final Graph graph;
    private final Shape shape;
    private final @Nullable Tensor tensor;
    private final @Nullable Parameter parameter;
    private final boolean wantsGradient;

    Value(Graph graph, Shape shape, @Nullable Tensor tensor, @Nullable Parameter parameter, boolean wantsGradient) {
        this.graph = graph;
        this.shape = shape;
        this.tensor = tensor;
        this.parameter = parameter;
        this.wantsGradient = wantsGradient;
    }

    /** Returns the graph that this value belongs to. */
    public Graph graph() {
        return graph;
    }

    /** Returns the shape. */
    public Shape shape() {
        return shape;
    }

    /**
     * Returns the computed tensor.
     *
     * @throws IllegalStateException in a tracing graph, where values have shapes only
     */
    public Tensor tensor() {
        if (tensor == null) {
            throw new IllegalStateException("a traced value of shape " + shape + " has no tensor");
        }
        return tensor;
    }

    @Nullable Tensor tensorOrNull() {
        return tensor;
    }

    @Nullable Parameter parameter() {
        return parameter;
    }

    boolean wantsGradient() {
        return wantsGradient;
    }

    /** Convolution, see {@link Conv2dOp}; {@code bias} may be null. */
    public Value conv2d(Value weight, @Nullable Value bias, int padding, int groups) {
        Conv2dOp op = new Conv2dOp(padding, groups, false);
        return bias == null ? graph.apply(op, this, weight) : graph.apply(op, this, weight, bias);
    }

    /** Convolution on packed codes, see {@link QuantizedConv2dOp}. */
    public Value quantizedConv2d(PackedConv conv, int inChannels, int outChannels) {
        return graph.apply(new QuantizedConv2dOp(conv, inChannels, outChannels, false), this);
    }

    /** {@code max(x, 0)}. */
    public Value relu() {
        return leakyRelu(0);
    }

    /** {@code x > 0 ? x : slope * x}. */
    public Value leakyRelu(float slope) {
        return graph.apply(new LeakyReluOp(slope), this);
    }

    /** {@code this + other}, same shape. */
    public Value add(Value other) {
        return addScaled(1, other);
    }

    /** {@code this + scale * other}, same shape. */
    public Value addScaled(float scale, Value other) {
        return graph.apply(new AddOp(scale), this, other);
    }

    /** {@code this * other} elementwise, same shape. */
    public Value multiply(Value other) {
        return graph.apply(new MultiplyOp(), this, other);
    }

    /** {@code factor * this}. */
    public Value scale(float factor) {
        return graph.apply(new ScaleOp(factor), this);
    }

    /** The same elements under another shape. */
    public Value reshape(int... dims) {
        return graph.apply(new ReshapeOp(Shape.of(dims)), this);
    }

    /** {@code [N, H, W, C r^2]} to {@code [N, H r, W r, C]}, see {@link PixelShuffleOp}. */
    public Value pixelShuffle(int factor) {
        return graph.apply(new PixelShuffleOp(factor), this);
    }

    /** Quantization to {@code bits} and back, bounds {@code [1]} or one per channel, see {@link FakeQuantizeOp}. */
    public Value fakeQuantize(Value lower, Value upper, int bits) {
        return graph.apply(new FakeQuantizeOp(bits), this, lower, upper);
    }

    /** The scalar mean absolute error against a target of the same shape. */
    public Value l1Loss(Value target) {
        return graph.apply(new L1LossOp(1f / shape.size()), this, target);
    }

    /** The scalar mean squared error against a target of the same shape. */
    public Value mseLoss(Value target) {
        return graph.apply(new MseLossOp(1f / shape.size()), this, target);
    }
}
