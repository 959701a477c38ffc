// SPDX-License-Identifier: Apache-2.0
package dev.halftone.bench;

import dev.halftone.bench.OnnxModel.Type;
import dev.halftone.nn.op.Windows;
import dev.halftone.tensor.Tensor;
import java.util.Map;

/**
 * SwinIR's lightweight network as an ONNX model: the operations of the official code, layer normalization and GELU as the single
 * operators that the engine has for them.
 */
final class OnnxSwinIr {
    private static final int FEATURES = 60;
    private static final int HIDDEN = 120;
    private static final int HEADS = 6;
    private static final int GROUPS = 4;
    private static final int BLOCKS = 6;
    private static final int WINDOW = 8;
    private static final int TOKENS = WINDOW * WINDOW;
    private static final int SCALE = 2;
    private static final float[] MEAN = {0.4488f, 0.4371f, 0.4040f};
    private static final float PIXEL = 255;
    private static final float EPSILON = 1e-5f;

    private final OnnxModel m = new OnnxModel();
    private final Map<String, float[]> state;
    private final int n;

    private OnnxSwinIr(Map<String, float[]> state, int n) {
        this.state = state;
        this.n = n;
    }

    /**
     * Returns the network x2 for {@code [1, 3, n, n]}, whole windows.
     *
     * @param state the official state dict
     */
    static byte[] light(Map<String, float[]> state, int n) {
        return new OnnxSwinIr(state, n).build();
    }

    private byte[] build() {
        String mean = m.constant(MEAN, 1, MEAN.length, 1, 1);
        String pixel = m.constant(new float[] {PIXEL});
        String x = m.add("Sub", m.add("Div", m.input(Type.FLOAT, 1, 3, n, n), pixel), mean);
        String features = conv(x, "conv_first", 3, FEATURES);
        String y = norm(tokens(features), "patch_embed.norm");
        for (int group = 0; group < GROUPS; group++) {
            String start = y;
            for (int block = 0; block < BLOCKS; block++) {
                y = block(y, "layers." + group + ".residual_group.blocks." + block + ".", WINDOW / 2 * (block % 2));
            }
            y = tokens(conv(map(y), "layers." + group + ".conv", FEATURES, FEATURES));
            y = m.add("Add", y, start);
        }
        y = m.add("Add", conv(map(norm(y, "norm")), "conv_after_body", FEATURES, FEATURES), features);
        y = m.depthToSpace(conv(y, "upsample.0", FEATURES, 3 * SCALE * SCALE), SCALE);
        y = m.add("Mul", m.add("Add", y, mean), pixel);
        m.output(y, Type.FLOAT, 1, 3, (long) SCALE * n, (long) SCALE * n);
        return m.toBytes();
    }

    private String conv(String x, String name, int in, int out) {
        return m.conv(
                x, m.constant(weight(name + ".weight"), out, in, 3, 3), m.constant(weight(name + ".bias"), out), 3);
    }

    private float[] weight(String name) {
        float[] values = state.get(name);
        if (values == null) {
            throw new IllegalArgumentException(name + " is missing");
        }
        return values;
    }

    private String tokens(String map) {
        return m.transpose(m.reshape(map, 1, FEATURES, (long) n * n), 0, 2, 1);
    }

    private String map(String tokens) {
        return m.reshape(m.transpose(tokens, 0, 2, 1), 1, FEATURES, n, n);
    }

    private String norm(String x, String name) {
        return m.layerNorm(
                x,
                m.constant(weight(name + ".weight"), FEATURES),
                m.constant(weight(name + ".bias"), FEATURES),
                EPSILON);
    }

    private String linear(String x, String name, int in, int out) {
        float[] outIn = weight(name + ".weight");
        float[] inOut = new float[outIn.length];
        for (int o = 0; o < out; o++) {
            for (int i = 0; i < in; i++) {
                inOut[i * out + o] = outIn[o * in + i];
            }
        }
        return m.add("Add", m.add("MatMul", x, m.constant(inOut, in, out)), m.constant(weight(name + ".bias"), out));
    }

    private String block(String x, String name, int shift) {
        String y = m.reshape(norm(x, name + "norm1"), 1, n, n, FEATURES);
        y = windows(rolled(y, shift));
        y = attention(y, name + "attn.", shift);
        y = m.reshape(rolled(joined(y), n - shift), 1, (long) n * n, FEATURES);
        y = m.add("Add", x, y);
        String z = linear(norm(y, name + "norm2"), name + "mlp.fc1", FEATURES, HIDDEN);
        return m.add("Add", y, linear(m.add("Gelu", z), name + "mlp.fc2", HIDDEN, FEATURES));
    }

    /** Moves rows and columns by {@code shift} towards 0, cyclically. */
    private String rolled(String x, int shift) {
        int by = shift % n;
        if (by == 0) {
            return x;
        }
        String rows = m.concat(1, m.slice(x, 1, by, n), m.slice(x, 1, 0, by));
        return m.concat(2, m.slice(rows, 2, by, n), m.slice(rows, 2, 0, by));
    }

    private String windows(String x) {
        int count = n / WINDOW;
        String y = m.transpose(m.reshape(x, 1, count, WINDOW, count, WINDOW, FEATURES), 0, 1, 3, 2, 4, 5);
        return m.reshape(y, (long) count * count, TOKENS, FEATURES);
    }

    private String joined(String x) {
        int count = n / WINDOW;
        String y = m.transpose(m.reshape(x, 1, count, count, WINDOW, WINDOW, FEATURES), 0, 1, 3, 2, 4, 5);
        return m.reshape(y, 1, n, n, FEATURES);
    }

    private String attention(String x, String name, int shift) {
        long count = (long) (n / WINDOW) * (n / WINDOW);
        int width = FEATURES / HEADS;
        String qkv = linear(x, name + "qkv", FEATURES, 3 * FEATURES);
        qkv = m.transpose(m.reshape(qkv, count, TOKENS, 3, HEADS, width), 2, 0, 3, 1, 4);
        String[] parts = new String[3];
        for (int i = 0; i < parts.length; i++) {
            parts[i] = m.reshape(m.slice(qkv, 0, i, i + 1L), count, HEADS, TOKENS, width);
        }
        String q = m.add("Mul", parts[0], m.constant(new float[] {(float) (1 / Math.sqrt(width))}));
        String scores = m.add("MatMul", q, m.transpose(parts[1], 0, 1, 3, 2));
        scores = m.add("Add", scores, m.constant(bias(name), 1, HEADS, TOKENS, TOKENS));
        if (shift > 0) {
            Tensor mask = Windows.shiftMask(n, n, WINDOW, shift);
            scores = m.add("Add", scores, m.constant(mask.toArray(), count, 1, TOKENS, TOKENS));
        }
        String y = m.add("MatMul", m.add("Softmax", scores), parts[2]);
        y = m.reshape(m.transpose(y, 0, 2, 1, 3), count, TOKENS, FEATURES);
        return linear(y, name + "proj", FEATURES, FEATURES);
    }

    private float[] bias(String name) {
        float[] table = weight(name + "relative_position_bias_table");
        int[][] index = Windows.relativePositionIndex(WINDOW);
        float[] bias = new float[HEADS * TOKENS * TOKENS];
        int at = 0;
        for (int head = 0; head < HEADS; head++) {
            for (int[] row : index) {
                for (int entry : row) {
                    bias[at++] = table[entry * HEADS + head];
                }
            }
        }
        return bias;
    }
}
