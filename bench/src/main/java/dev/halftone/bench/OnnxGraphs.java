// SPDX-License-Identifier: Apache-2.0
package dev.halftone.bench;

import dev.halftone.bench.OnnxModel.Type;
import java.util.Map;

/**
 * The workloads as ONNX models. The int8 ones are in QDQ form with the types that ONNX Runtime executes as integers: activations u8
 * (zero point 0 behind a ReLU, 128 elsewhere), weights s8 with a scale for each output channel, biases s32. (With signed activations
 * it leaves convolution + ReLU in float.)
 */
final class OnnxGraphs {
    /** Steps of activations: arbitrary, for the time does not depend on them. */
    static final float STEP = 1 / 32f;

    private OnnxGraphs() {}

    /** Returns {@code depth} times 3x3 convolution and ReLU of {@code [1, channels, n, n]}; weights OIHW. */
    static byte[] convolutions(float[][] weights, float[] bias, int channels, int n, boolean int8) {
        OnnxModel m = new OnnxModel();
        String x = m.input(int8 ? Type.UINT8 : Type.FLOAT, 1, channels, n, n);
        if (int8) {
            x = m.add("DequantizeLinear", x, scalar(m, STEP), zero(m, 0));
        }
        String last = x;
        for (float[] weight : weights) {
            x = m.add("Relu", conv(m, x, weight, bias, channels, channels, 3, int8));
            if (int8) {
                last = m.add("QuantizeLinear", x, scalar(m, STEP), zero(m, 0));
                x = m.add("DequantizeLinear", last, scalar(m, STEP), zero(m, 0));
            } else {
                last = x;
            }
        }
        m.output(last, int8 ? Type.UINT8 : Type.FLOAT, 1, channels, n, n);
        return m.toBytes();
    }

    /**
     * Returns EDSR x2; int8 in body, upsampler and tail, with a float head, as quantization tools leave it.
     *
     * @param state EDSR-PyTorch's state dict
     */
    static byte[] edsr(Map<String, float[]> state, int blocks, int features, int n, boolean int8) {
        OnnxModel m = new OnnxModel();
        String x = m.input(Type.FLOAT, 1, 3, n, n);
        x = named(m, x, state, "sub_mean", 3, 3, 1, false);
        String head = quantized(m, named(m, x, state, "head.0", 3, features, 3, false), 128, int8);
        String y = head;
        for (int i = 0; i < blocks; i++) {
            String name = "body." + i + ".body.";
            String z = m.add("Relu", named(m, y, state, name + 0, features, features, 3, int8));
            z = named(m, quantized(m, z, 0, int8), state, name + 2, features, features, 3, int8);
            y = quantized(m, m.add("Add", y, quantized(m, z, 128, int8)), 128, int8);
        }
        y = quantized(m, named(m, y, state, "body." + blocks, features, features, 3, int8), 128, int8);
        y = quantized(m, m.add("Add", y, head), 128, int8);
        y = quantized(m, named(m, y, state, "tail.0.0", features, 4 * features, 3, int8), 128, int8);
        y = quantized(m, m.depthToSpace(y, 2), 128, int8);
        y = named(m, y, state, "tail.1", features, 3, 3, int8);
        y = named(m, int8 ? quantized(m, y, 128, true) : y, state, "add_mean", 3, 3, 1, false);
        m.output(y, Type.FLOAT, 1, 3, 2L * n, 2L * n);
        return m.toBytes();
    }

    /** Returns {@code x [rows, in] w [in, out] + bias}. */
    static byte[] linear(float[] weight, float[] bias, int rows, int in, int out) {
        OnnxModel m = new OnnxModel();
        String x = m.input(Type.FLOAT, rows, in);
        m.output(m.add("Gemm", x, m.constant(weight, in, out), m.constant(bias, out)), Type.FLOAT, rows, out);
        return m.toBytes();
    }

    private static String named(
            OnnxModel m, String x, Map<String, float[]> state, String name, int in, int out, int kernel, boolean int8) {
        return conv(m, x, state.get(name + ".weight"), state.get(name + ".bias"), in, out, kernel, int8);
    }

    private static String conv(
            OnnxModel m, String x, float[] weight, float[] bias, int in, int out, int kernel, boolean int8) {
        if (!int8) {
            return m.conv(x, m.constant(weight, out, in, kernel, kernel), m.constant(bias, out), kernel);
        }
        int size = weight.length / out;
        float[] scales = new float[out];
        float[] biasScales = new float[out];
        byte[] codes = new byte[weight.length];
        int[] biasCodes = new int[out];
        for (int o = 0; o < out; o++) {
            scales[o] = weightScale(weight, o, size);
            for (int i = 0; i < size; i++) {
                codes[o * size + i] = (byte) Math.rint(weight[o * size + i] / scales[o]);
            }
            biasScales[o] = scales[o] * STEP;
            biasCodes[o] = (int) Math.rint(bias[o] / biasScales[o]);
        }
        String w = m.dequantize(
                m.constant(Type.INT8, codes, out, in, kernel, kernel),
                m.constant(scales, out),
                m.constant(Type.INT8, new byte[out], out),
                0);
        String b =
                m.dequantize(m.constant(biasCodes, out), m.constant(biasScales, out), m.constant(new int[out], out), 0);
        return m.conv(x, w, b, kernel);
    }

    /** Returns the step of the {@code size} weights of output channel {@code o}. */
    static float weightScale(float[] weight, int o, int size) {
        float largest = 1e-6f;
        for (int i = 0; i < size; i++) {
            largest = Math.max(largest, Math.abs(weight[o * size + i]));
        }
        return largest / 127;
    }

    /** Quantizes and dequantizes, if {@code int8}. */
    private static String quantized(OnnxModel m, String x, int zero, boolean int8) {
        return int8
                ? m.add(
                        "DequantizeLinear",
                        m.add("QuantizeLinear", x, scalar(m, STEP), zero(m, zero)),
                        scalar(m, STEP),
                        zero(m, zero))
                : x;
    }

    private static String scalar(OnnxModel m, float value) {
        return m.constant(new float[] {value});
    }

    private static String zero(OnnxModel m, int value) {
        return m.constant(Type.UINT8, new byte[] {(byte) value});
    }
}
