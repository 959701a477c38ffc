// SPDX-License-Identifier: Apache-2.0
package dev.halftone.bench;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Builds an ONNX model (IR version 9, operator set 20) node by node; see onnx.proto for the field numbers. */
final class OnnxModel {
    /** Element types of {@code TensorProto}. */
    enum Type {
        FLOAT(1),
        UINT8(2),
        INT8(3),
        INT32(6),
        INT64(7);

        private final int number;

        Type(int number) {
            this.number = number;
        }
    }

    private static final int IR_VERSION = 9;
    private static final int OPSET = 20;

    private final Protobuf graph = new Protobuf().string(2, "halftone");
    private int values;

    /** Adds the input. */
    String input(Type type, long... dims) {
        graph.message(11, value("input", type, dims));
        return "input";
    }

    /** Makes a value the output. */
    void output(String name, Type type, long... dims) {
        // An extra node, because the value may have been named before it was known to be the output.
        graph.message(1, node("Identity", "output", name)).message(12, value("output", type, dims));
    }

    private static Protobuf value(String name, Type type, long... dims) {
        Protobuf shape = new Protobuf();
        for (long dim : dims) {
            shape.message(1, new Protobuf().integer(1, dim));
        }
        Protobuf tensor = new Protobuf().integer(1, type.number).message(2, shape);
        return new Protobuf().string(1, name).message(2, new Protobuf().message(1, tensor));
    }

    /** Adds a constant of floats. */
    String constant(float[] values, long... dims) {
        ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(values);
        return constant(Type.FLOAT, bytes.array(), dims);
    }

    /** Adds a constant of 32-bit integers. */
    String constant(int[] values, long... dims) {
        ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asIntBuffer().put(values);
        return constant(Type.INT32, bytes.array(), dims);
    }

    /** Adds a vector of 64-bit integers, which shapes and positions are. */
    String positions(long... values) {
        ByteBuffer bytes = ByteBuffer.allocate(8 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asLongBuffer().put(values);
        return constant(Type.INT64, bytes.array(), values.length);
    }

    /** Adds a constant of little-endian elements. */
    String constant(Type type, byte[] data, long... dims) {
        String name = "c" + values++;
        Protobuf tensor = new Protobuf();
        for (long dim : dims) {
            tensor.integer(1, dim);
        }
        graph.message(5, tensor.integer(2, type.number).string(8, name).bytes(9, data));
        return name;
    }

    /** Adds a node without attributes and returns its output. */
    String add(String op, String... inputs) {
        String output = "v" + values++;
        graph.message(1, node(op, output, inputs));
        return output;
    }

    /** Adds a 2-D convolution with "same" padding. */
    String conv(String x, String weight, String bias, int kernel) {
        String output = "v" + values++;
        long p = kernel / 2;
        graph.message(
                1,
                node("Conv", output, x, weight, bias)
                        .message(5, integers("kernel_shape", kernel, kernel))
                        .message(5, integers("pads", p, p, p, p)));
        return output;
    }

    /** Adds another shape for the same values. */
    String reshape(String x, long... dims) {
        return add("Reshape", x, positions(dims));
    }

    /** Adds another order of the dimensions. */
    String transpose(String x, long... order) {
        String output = "v" + values++;
        graph.message(1, node("Transpose", output, x).message(5, integers("perm", order)));
        return output;
    }

    /** Adds the part from {@code from} to before {@code to} along an axis. */
    String slice(String x, int axis, long from, long to) {
        return add("Slice", x, positions(from), positions(to), positions(axis));
    }

    /** Adds two values one after the other along an axis. */
    String concat(int axis, String first, String second) {
        String output = "v" + values++;
        graph.message(1, node("Concat", output, first, second).message(5, integer("axis", axis)));
        return output;
    }

    /** Adds the normalization of the last dimension. */
    String layerNorm(String x, String weight, String bias, float epsilon) {
        String output = "v" + values++;
        graph.message(
                1,
                node("LayerNormalization", output, x, weight, bias)
                        .message(5, attribute("epsilon", 1).single(2, epsilon)));
        return output;
    }

    /** Adds PyTorch's pixel shuffle. */
    String depthToSpace(String x, int factor) {
        String output = "v" + values++;
        graph.message(
                1,
                node("DepthToSpace", output, x)
                        .message(5, integer("blocksize", factor))
                        .message(5, attribute("mode", 3).bytes(4, new byte[] {'C', 'R', 'D'})));
        return output;
    }

    /** Adds the dequantization of a weight with a scale for each slice along an axis. */
    String dequantize(String x, String scale, String zero, int axis) {
        String output = "v" + values++;
        graph.message(1, node("DequantizeLinear", output, x, scale, zero).message(5, integer("axis", axis)));
        return output;
    }

    private static Protobuf node(String op, String output, String... inputs) {
        Protobuf node = new Protobuf();
        for (String input : inputs) {
            node.string(1, input);
        }
        return node.string(2, output).string(3, op + "_" + output).string(4, op);
    }

    private static Protobuf attribute(String name, int type) {
        return new Protobuf().string(1, name).integer(20, type);
    }

    private static Protobuf integer(String name, long value) {
        return attribute(name, 2).integer(3, value);
    }

    private static Protobuf integers(String name, long... elements) {
        Protobuf attribute = attribute(name, 7);
        for (long element : elements) {
            attribute.integer(8, element);
        }
        return attribute;
    }

    /** Returns the model's file. */
    byte[] toBytes() {
        return new Protobuf()
                .integer(1, IR_VERSION)
                .string(2, "halftone")
                .message(7, graph)
                .message(8, new Protobuf().string(1, "").integer(2, OPSET))
                .toBytes();
    }
}
