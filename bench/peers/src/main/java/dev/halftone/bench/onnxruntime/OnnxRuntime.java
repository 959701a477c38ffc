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
        private Map<String, OnnxTensor> inputs = Map.of();

        Loaded(OrtEnvironment environment, OrtSession session) {
            this.environment = environment;
            this.session = session;
        }

        @Override
        public void input(float[] values, long... dims) {
            FloatBuffer buffer = direct(4 * values.length).asFloatBuffer().put(values);
            try {
                inputs = Map.of("input", OnnxTensor.createTensor(environment, buffer.flip(), dims));
            } catch (OrtException e) {
                throw new IllegalStateException(e);
            }
        }

        @Override
        public void input(byte[] values, long... dims) {
            ByteBuffer buffer = direct(values.length).put(values);
            try {
                inputs = Map.of("input", OnnxTensor.createTensor(environment, buffer.flip(), dims, OnnxJavaType.UINT8));
            } catch (OrtException e) {
                throw new IllegalStateException(e);
            }
        }

        private static ByteBuffer direct(int bytes) {
            return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
        }

        @Override
        public void run() {
            try (OrtSession.Result result = session.run(inputs)) {
                if (result.size() != 1) {
                    throw new IllegalStateException(result.size() + " outputs");
                }
            } catch (OrtException e) {
                throw new IllegalStateException(e);
            }
        }

        @Override
        public float[] output() {
            try (OrtSession.Result result = session.run(inputs)) {
                FloatBuffer buffer = ((OnnxTensor) result.get(0)).getFloatBuffer();
                float[] values = new float[buffer.remaining()];
                buffer.get(values);
                return values;
            } catch (OrtException e) {
                throw new IllegalStateException(e);
            }
        }

        @Override
        public byte[] codes() {
            try (OrtSession.Result result = session.run(inputs)) {
                ByteBuffer buffer = ((OnnxTensor) result.get(0)).getByteBuffer();
                byte[] values = new byte[buffer.remaining()];
                buffer.get(values);
                return values;
            } catch (OrtException e) {
                throw new IllegalStateException(e);
            }
        }

        @Override
        public void close() {
            inputs.values().forEach(OnnxTensor::close);
            try {
                session.close();
            } catch (OrtException e) {
                throw new IllegalStateException(e);
            }
        }
    }
}
