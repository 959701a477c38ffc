// SPDX-License-Identifier: Apache-2.0
package dev.halftone.bench.onnxruntime;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import dev.halftone.bench.Peer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Map;

/**
 * ONNX Runtime on the CPU: all graph optimizations, one inter-op thread, and waiting threads that sleep instead of spinning, because
 * between two of its runs the same cores work for the other side.
 */
public final class OnnxRuntime implements Peer {
    private final OrtEnvironment environment = OrtEnvironment.getEnvironment();

    /** Creates the engine; called by the service loader. */
    public OnnxRuntime() {}

    @Override
    public String id() {
        return "ort";
    }

    @Override
    public String version() {
        return "ONNX Runtime " + environment.getVersion();
    }

    @Override
    public Model load(byte[] onnx, int threads) {
        try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
            options.setOptimizationLevel(OrtSession.SessionOptions.OptLevel.ALL_OPT);
            options.setIntraOpNumThreads(threads);
            options.setInterOpNumThreads(1);
            options.addConfigEntry("session.intra_op.allow_spinning", "0");
            return new Loaded(environment, environment.createSession(onnx, options));
        } catch (OrtException e) {
            throw new IllegalStateException(e);
        }
    }

    private static final class Loaded implements Model {
        private final OrtEnvironment environment;
        private final OrtSession session;
        private OnnxTensor input;

        Loaded(OrtEnvironment environment, OrtSession session) {
            this.environment = environment;
            this.session = session;
        }

        @Override
        public void input(float[] values, long... dims) {
            FloatBuffer buffer = ByteBuffer.allocateDirect(4 * values.length)
                    .order(ByteOrder.nativeOrder())
                    .asFloatBuffer();
            try {
                input = OnnxTensor.createTensor(environment, buffer.put(values).flip(), dims);
            } catch (OrtException e) {
                throw new IllegalStateException(e);
            }
        }

        @Override
        public void input(byte[] values, long... dims) {
            ByteBuffer buffer = ByteBuffer.allocateDirect(values.length).order(ByteOrder.nativeOrder());
            try {
                input = OnnxTensor.createTensor(
                        environment, buffer.put(values).flip(), dims, OnnxJavaType.UINT8);
            } catch (OrtException e) {
                throw new IllegalStateException(e);
            }
        }

        @Override
        public void run() {
            try (OrtSession.Result result = session.run(Map.of("input", input))) {
                if (result.size() != 1) {
                    throw new IllegalStateException(result.size() + " outputs");
                }
            } catch (OrtException e) {
                throw new IllegalStateException(e);
            }
        }

        @Override
        public float[] output() {
            try (OrtSession.Result result = session.run(Map.of("input", input))) {
                FloatBuffer buffer = ((OnnxTensor) result.get(0)).getFloatBuffer();
                float[] values = new float[buffer.remaining()];
                buffer.get(values);
                return values;
            } catch (OrtException e) {
                throw new IllegalStateException(e);
            }
        }

        @Override
        public void close() {
            input.close();
            try {
                session.close();
            } catch (OrtException e) {
                throw new IllegalStateException(e);
            }
        }
    }
}
