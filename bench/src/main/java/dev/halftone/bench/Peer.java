// SPDX-License-Identifier: Apache-2.0
package dev.halftone.bench;

import java.util.Optional;
import java.util.ServiceLoader;

/** Another engine that runs ONNX models; the Maven profile {@code peers} brings one. */
public interface Peer {
    /** Returns the engine that is there, if one is. */
    static Optional<Peer> find() {
        return ServiceLoader.load(Peer.class).findFirst();
    }

    /** Returns the prefix of its rows, for example {@code ort}. */
    String id();

    /** Returns name and version. */
    String version();

    /**
     * Loads a model with one input and one output, both called that.
     *
     * @param threads that a run may use, the calling one included
     */
    Model load(byte[] onnx, int threads);

    /** A loaded model with its input. */
    interface Model extends AutoCloseable {
        /** Sets the input; the values are those of the input's type, row by row. */
        void input(float[] values, long... dims);

        /** Sets the input of a model that reads bytes. */
        void input(byte[] values, long... dims);

        /** Runs. */
        void run();

        /** Runs and returns the output, which must be floats. */
        float[] output();

        /** Runs and returns the output, which must be bytes. */
        byte[] codes();

        @Override
        void close();
    }
}
